"""Overrides on the command line: `group=option`, `key=value`, and in a sweep several values of one."""

from __future__ import annotations

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
    overrides: Sequence[str], groups: Mapping[str, Sequence[str]], hydras: Options
) -> list[Given | str]:
    """Each override understood, or a sentence about what is wrong with it.

    Args:
        overrides: the texts.
        groups: the options of each config group.
        hydras: the options of Hydra's own groups.
    """
    parser = OverridesParser.create()
    found: list[Given | str] = []
    for text in map(_quoted_if_path, overrides):
        try:
            parsed = parser.parse_override(text)
        except HydraException:
            found.append(_unreadable(text))
            continue
        if not parsed.key_or_group:
            found.append(f"{text}: there is no key before the equals sign.")
            continue
        group = parsed.key_or_group
        options = hydras(group) if group.startswith("hydra/") else groups.get(group, ())
        if options and not isinstance(parsed.value(), dict):
            found += _chosen(text, parsed, options, group in groups)
        elif "/" in group:
            found.append(f"{text}: there is no group {group}.{did_you_mean(group, list(groups))}")
        else:
            found.append(_assigned(text, parsed))
    return found


def _quoted_if_path(text: str) -> str:
    """In quotes where the value is a path on this machine that Hydra would read as something else.

    A sweep's job lies in a folder such as `seed=0,strategy=dann-52757d`.
    """
    name, _, value = text.partition("=")
    needs_quotes = ("=" in value or "," in value) and '"' not in value
    return f'{name}="{value}"' if needs_quotes and Path(value).exists() else text


def did_you_mean(name: str, names: Sequence[str], most: int = 3) -> str:
    """` Did you mean a or b?`, or nothing."""
    close = get_close_matches(name, names, n=most, cutoff=0.6)
    return f" Did you mean {' or '.join(close)}?" if close else ""


def _chosen(text: str, parsed: Override, options: Sequence[str], is_ours: bool) -> list[Given | str]:
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
                mend = did_you_mean(name, options)
                if parsed.key_or_group == "backbone":
                    mend += f" Any network of timm: backbone=timm backbone.name={name}."
                problems.append(f"{shown}: there is no such option.{mend} Options: {', '.join(options)}.")
    left = element.lstrip("+") if is_ours and parsed.package is None else element
    return problems or [Given(text, parsed.key_or_group, left, values, True, parsed.is_sweep_override())]


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


def _unreadable(text: str) -> str:
    if "=" not in text:
        return f"{text}: neither group=option nor key=value."
    name, _, value = text.partition("=")
    if value.count('"') or value.count("'"):
        return f"{text}: this cannot be read. Do its quotes and brackets come in pairs?"
    return f"{text}: this cannot be read. Quote a value with special characters: '{name}=\"{value}\"'"


def allowed_and_rest(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The modules that `allow=[MODULE,...]` names, and the other arguments."""
    allowed = [text.partition("=")[2].strip("[]") for text in arguments if text.startswith("allow=")]
    names = [name for text in allowed for name in text.split(",") if name]
    return names, [argument for argument in arguments if not argument.startswith("allow=")]


def values_below(prefix: str, overrides: Sequence[str]) -> dict[str, Any]:
    """The values of `PREFIX.KEY=VALUE`, by key.

    Raises:
        UserError: one that cannot be read, or that stands for several values.
    """
    found: dict[str, Any] = {}
    parser = OverridesParser.create()
    for text in overrides:
        try:
            parsed = parser.parse_override(text)
        except HydraException:
            raise UserError(_unreadable(text)) from None
        if parsed.is_delete() or parsed.is_sweep_override():
            raise UserError(f"{text}: takes one value.")
        found[parsed.key_or_group.removeprefix(f"{prefix}.")] = parsed.value()
    return found
