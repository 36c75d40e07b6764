"""Overrides on the command line: `group=option`, `key=value`, and in a sweep several values of one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, IntervalSweep, Override, Sweep
from hydra.errors import HydraException

from transferlab.run.errors import UserError

Options = Callable[
    [str], Sequence[str]
]  # the names of the options of a group; none where there is no such group


@dataclass(frozen=True)
class Given:
    """One override, understood."""

    text: str  # as it was typed
    key: str  # the dotted key or the group, without sign and package
    left: str  # what stands left of the equals sign for Hydra
    values: tuple[str, ...]  # what it is set to; several in a sweep, none where something is deleted
    is_group: bool  # whether an option of a group is chosen
    sweeps: bool  # whether it stands for several values

    def only(self, which: int) -> Given:
        """The override with one of its values."""
        if not self.sweeps:
            return self
        value = self.values[which]
        return replace(self, text=f"{self.text.partition('=')[0]}={value}", values=(value,), sweeps=False)

    def for_hydra(self) -> str:
        """The override as Hydra takes it."""
        if not self.values:
            return self.left
        return f"{self.left}={','.join(self.values) if self.is_group else self.text.partition('=')[2]}"


def read_overrides(
    overrides: Sequence[str],
    groups: Mapping[str, Sequence[str]],
    hydras: Options,
    misnamed: Callable[[str, str], str] = lambda group, option: "",
) -> list[Given | str]:
    """Each override understood, or a sentence about what is wrong with it.

    Args:
        overrides: the texts.
        groups: the options of each config group.
        hydras: the options of Hydra's own groups.
        misnamed: a sentence on the file of an option that cannot be read by its name, if there is one.
    """
    parser = OverridesParser.create()
    found: list[Given | str] = []
    for text in map(_quoted_if_path, overrides):
        if problem := _not_text(text):
            found.append(problem)
            continue
        try:
            parsed = parser.parse_override(text)
            value: Any = parsed.value()
            list(parsed.sweep_string_iterator() if parsed.is_sweep_override() and _is_listed(value) else ())
        except Exception:  # Hydra's functions raise anything: range(1,2,0), sort(1,a)
            found.append(_unreadable(text, groups))
            continue
        if not parsed.key_or_group:
            found.append(f"{text}: there is no key before the equals sign.")
            continue
        group = parsed.key_or_group
        options = hydras(group) if group.startswith("hydra/") else groups.get(group, ())
        if options and not isinstance(value, dict):
            found += _chosen(text, parsed, options, group in groups, misnamed)
        elif "/" in group:
            found.append(f"{text}: there is no group {group}.{did_you_mean(group, list(groups))}")
        elif isinstance(value, Glob):
            found.append(f"{text}: glob(...) matches names of options, and a key has none. Write them out.")
        else:
            found.append(_assigned(text, parsed))
    return found


def quoted(value: str) -> str:
    """A text in quotes, as Hydra reads back the very same text.

    >>> quoted("2024"), quoted("a, b")
    ('"2024"', '"a, b"')
    """
    return '"' + re.sub(r'(\\*)("|$)', lambda m: 2 * m[1] + ("\\" + m[2] if m[2] else ""), value) + '"'


def _quoted_if_path(text: str) -> str:
    """In quotes where the value is a path that Hydra would read as something else, or not at all.

    A sweep's job lies in a folder such as `seed=0,strategy=dann-52757d`, photos in one called `2024`, `it's`
    or `photos (1)`. What exists is taken as it stands; under a key that takes a path, so is a number.
    """
    name, equals, value = text.partition("=")
    if not equals or not value or (len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""):
        return text
    try:
        parsed: Any = OverridesParser.create().parse_override(f"x={value}")
        read = None if parsed.is_sweep_override() else parsed.value()
    except HydraException:
        read = None
    if read == value:
        return text
    is_place = name.rpartition(".")[2] in _PLACES
    as_number = is_place and isinstance(read, int | float)
    as_path = (is_place or not isinstance(read, int | float | dict)) and _exists(value)
    return f"{name}={quoted(value)}" if as_number or as_path else text


_PLACES = frozenset({"root", "table", "weights", "file", "dir", "folder", "path"})  # keys that take a path


def _exists(value: str) -> bool:
    try:
        return Path(value).expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # too long, a zero byte, no such user
        return False


def key_and_value(text: str) -> tuple[str, Any]:
    """The dotted key of an override and its value.

    Raises:
        UserError: it cannot be read, or stands for several values.
    """
    [found] = read_overrides([text], {}, lambda group: ())
    if isinstance(found, str):
        raise UserError(found)
    if not found.values or found.sweeps:
        raise UserError(f"{text}: this takes one value. Fix: {found.key}=VALUE")
    parsed = OverridesParser.create().parse_override(found.for_hydra())
    return found.key, parsed.value()


def did_you_mean(name: str, names: Sequence[str], most: int = 3) -> str:
    """` Did you mean a or b?`, or nothing."""
    close = get_close_matches(name, names, n=most, cutoff=0.6)
    return f" Did you mean {' or '.join(close)}?" if close else ""


def _chosen(
    text: str,
    parsed: Override,
    options: Sequence[str],
    is_ours: bool,
    misnamed: Callable[[str, str], str],
) -> list[Given | str]:
    """An option of a group; `null` chooses nothing, and a needless `+` before the group does no harm."""
    element = parsed.get_key_element()
    if parsed.is_delete():
        return [Given(text, parsed.key_or_group, text, (), True, False)]
    values = _values(parsed, options)
    problems: list[Given | str] = [] if values else [f"{text}: this matches none of {', '.join(options)}."]
    for value in values:
        names = [name.strip(" '\"") for name in value.strip("[]").split(",")] if value != "[]" else []
        for name in names:
            if name not in options:
                shown = f"{element.lstrip('+')}={name}"
                mend = misnamed(parsed.key_or_group, name) or did_you_mean(name, options)
                if parsed.key_or_group == "backbone":
                    mend += f" Any network of timm: backbone=timm backbone.name={name}."
                problems.append(f"{shown}: there is no such option.{mend} Options: {', '.join(options)}.")
    left = element.lstrip("+") if is_ours and parsed.package is None else element
    return problems or [Given(text, parsed.key_or_group, left, values, True, parsed.is_sweep_override())]


def _is_listed(value: Any) -> bool:
    """True if a sweep's values can be written out: those of a pattern or an interval cannot."""
    return not isinstance(value, Glob | IntervalSweep)


def _assigned(text: str, parsed: Override) -> Given:
    """A value for a key; with `++`, so that Hydra leaves it to our own check whether there is such a key."""
    key = parsed.key_or_group
    if parsed.is_delete():
        return Given(text, key, text, (), False, False)
    left = parsed.get_key_element() if key.partition(".")[0] == "hydra" else f"++{key}"
    return Given(text, key, left, _values(parsed), False, parsed.is_sweep_override())


def _values(parsed: Override, options: Sequence[str] = ()) -> tuple[str, ...]:
    """The texts of all values that an override stands for."""
    value: Any = parsed.value()
    if isinstance(value, Glob):
        return tuple(value.filter(list(options)))
    if isinstance(value, IntervalSweep):
        return str(value.start), str(value.end)
    texts = [str(item) for item in parsed.sweep_string_iterator()] if isinstance(value, Sweep) else []
    texts = texts or [parsed.get_value_element_as_str()]
    return tuple("[]" if options and text == "null" else text for text in texts)


def _not_text(text: str) -> str | None:
    """A sentence on characters that no config file can hold."""
    if any("\ud800" <= each <= "\udfff" for each in text):
        shown = text.encode("utf-8", "backslashreplace").decode()
        return f"{shown}: this is not UTF-8 text. Fix: rename the file or folder."
    odd = next((each for each in text if each < " " and each not in "\t"), None)
    return None if odd is None else f"{text!r}: holds a control character ({odd!r}). Leave it out."


def _unreadable(text: str, groups: Mapping[str, Sequence[str]]) -> str:
    if "=" not in text:
        return f"{text}: neither group=option nor key=value.{_meant_by(text, groups)}"
    name, _, value = text.partition("=")
    if value.count('"') or value.count("'"):
        return f"{text}: this cannot be read. Do its quotes and brackets come in pairs?"
    return f"{text}: this cannot be read. Quote a value with special characters: '{name}=\"{value}\"'"


def _meant_by(word: str, groups: Mapping[str, Sequence[str]]) -> str:
    """The override that a word alone may stand for: a folder, a table, the name of an option."""
    path = Path(word)
    if _exists(word) and path.is_dir():
        is_ours = (path / "config.yaml").is_file() or (path / "sweep.json").is_file()
        return (
            f" To go on with it: transferlab resume {shlex.quote(word)}"
            if is_ours
            else f" Fix: data=folder {shlex.quote(f'data.root={word}')}"
        )
    if _exists(word) and path.suffix in (".csv", ".tsv", ".txt"):
        return f" Fix: data=table {shlex.quote(f'data.source.table={word}')}"
    found = [f"{group}={word}" for group, options in groups.items() if word in options and group[:1] != "."]
    return f" Did you mean {' or '.join(found[:3])}?" if found else ""


def allowed_and_rest(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The modules that `allow=[MODULE,...]` names, and the other arguments."""
    allowed = [text.partition("=")[2].strip("[]") for text in arguments if text.startswith("allow=")]
    names = [name for text in allowed for name in text.split(",") if name]
    return names, [argument for argument in arguments if not argument.startswith("allow=")]


MOVABLE = ("data.root", "data.source.root", "data.target.root", "data.source.table", "data.target.table")


def moved_data(overrides: Sequence[str]) -> list[str]:
    """The overrides that name a recorded run's data where it is now, their paths made absolute.

    Raises:
        UserError: one of them changes something else.
    """
    found = []
    for text in overrides:
        key, value = key_and_value(text)
        if key not in MOVABLE:
            raise UserError(
                f"{text}: a recorded run keeps its config; only the place of its data may change. Fix: "
                f"leave it out, or train anew. Where the data has moved: {MOVABLE[0]}=DIR."
            )
        found.append(f"{key}={quoted(str(Path(str(value)).expanduser().absolute()))}")
    return found


def values_below(prefix: str, overrides: Sequence[str]) -> dict[str, Any]:
    """The values of `PREFIX.KEY=VALUE`, by key.

    Raises:
        UserError: one that cannot be read, that stands for several values, or whose key is not below.
    """
    found: dict[str, Any] = {}
    for text in overrides:
        full, value = key_and_value(text)
        key = full.removeprefix(f"{prefix}.")
        if key == full or "." in key or key.startswith("_"):
            raise UserError(f"{text}: here this takes {prefix}.KEY=VALUE.")
        found[key] = value
    return found
