"""Config files: the folders that hold them, shipped and the user's own, and lines and comments in them."""

from __future__ import annotations

import codecs
import contextlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import transferlab
from transferlab.run.errors import UserError
from transferlab.run.reading import read_yaml

_PACKAGE = Path(transferlab.__file__).parent


def shipped() -> Path:
    """The configs that come with transferlab: inside the wheel, or at the top of a checkout."""
    inside = _PACKAGE / "conf"
    return inside if inside.is_dir() else _PACKAGE.parents[1] / "conf"


def users() -> Path | None:
    """`./conf` of the folder that the command runs in, where there is one other than the shipped one."""
    own = Path.cwd() / "conf"
    return own if own.is_dir() and own.resolve() != shipped().resolve() else None


def folders(search_path: Iterable[str]) -> list[Path]:
    """The folders behind entries of Hydra's search path, its own configs left out.

    Args:
        search_path: `file://FOLDER`, `FOLDER` or `pkg://PACKAGE`.
    """
    found: list[Path] = []
    for entry in search_path:
        scheme, _, place = entry.partition("://")
        if scheme == "file" or not place:
            found.append(Path(place or entry))
        elif scheme == "pkg" and not place.startswith("hydra."):
            spec = find_spec(place.replace("/", "."))
            found += [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
    return [folder for folder in found if folder.is_dir()]


def options(searched: Sequence[Path]) -> dict[str, list[str]]:
    """Each config group with the names of its options, from all folders: `strategy/penalty` → l1, l2_sp."""
    found: dict[str, set[str]] = {}
    for folder in searched:
        for parent, _, files in os.walk(folder):
            group = Path(parent).relative_to(folder).as_posix()
            names = {Path(file).stem for file in files if file.endswith(".yaml")}
            if names and group != "." and group.partition("/")[0] != "hydra":
                found[group] = found.get(group, set()) | names
    return {group: sorted(found[group]) for group in sorted(found)}


def with_defaults(searched: Sequence[Path], names: Sequence[str]) -> list[Path]:
    """Those of these config files that exist, and the ones that they build on by their `defaults`."""
    found: list[Path] = []
    waiting = [folder / name for folder in searched for name in names]
    while waiting:
        file = waiting.pop(0)
        if file in found or not file.is_file():
            continue
        found.append(file)
        try:
            content = read_yaml(file, Any)
        except UserError:  # Hydra reads it too, if it counts, and says so
            continue
        defaults = content.get("defaults") if isinstance(content, dict) else None
        names = defaults if isinstance(defaults, list) else []
        waiting += [file.with_name(f"{name}.yaml") for name in names if isinstance(name, str) and name]
    return found


def is_mapping(file: Path) -> bool:
    """True if a config file holds keys with values, or nothing."""
    return not file.is_file() or isinstance(read_yaml(file, Any), dict | None)


def without_package(searched: Sequence[Path], experiment: str) -> Path | None:
    """The file of an experiment that lacks its first line `# @package _global_`; None where it is fine."""
    for folder in searched:
        file = folder / "experiment" / f"{experiment}.yaml"
        if os.path.isfile(file):  # noqa: PTH113 (as below)
            return None if re.search(r"^\s*#\s*@package\s+_global_\s*$", _text(file), re.MULTILINE) else file
    return None


def misnamed(searched: Sequence[Path], group: str, option: str) -> str:
    """A sentence on a file of this option whose ending Hydra does not read; empty where there is none."""
    stem = option.removesuffix(".yml").removesuffix(".yaml")
    for folder in searched:
        for ending in (".yml", ".YAML", ".YML", ".yaml.txt", ".json"):
            file = folder / group.partition("@")[0] / f"{stem}{ending}"
            if os.path.isfile(file):  # noqa: PTH113 (a name that is too long is no file, not an error)
                return f" {near(file)} is there, but a config ends in .yaml. Fix: rename it to {stem}.yaml."
    return ""


def misencoded(files: Sequence[Path]) -> list[str]:
    """A sentence for each file that Hydra does not read as UTF-8 from its first line on."""
    found = []
    for file in files:
        with contextlib.suppress(OSError):
            content = file.read_bytes()
            if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                found.append(f"{near(file)}: this is UTF-16 text. Fix: save it as UTF-8.")
            elif content.startswith(codecs.BOM_UTF8) and re.search(rb"#\s*@package", content[:200]):
                found.append(
                    f"{near(file)}: a byte order mark hides its first line from Hydra. Fix: save it as UTF-8 "
                    "without BOM."
                )
            elif (bad := _not_utf8(content)) is not None:
                found.append(f"{near(file)}, line {bad}: this is not UTF-8 text. Fix: save it as UTF-8.")
    return found


def _not_utf8(content: bytes) -> int | None:
    """The line of the first byte that is not UTF-8."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        return content[: error.start].count(b"\n") + 1
    return None


def shadowed(searched: Sequence[Path]) -> list[str]:
    """A warning for each file of the user's that is never read, because a shipped one has its name."""
    return [
        f"{near(file)} is not read: transferlab has its own {name.as_posix()}. Rename yours."
        for folder in searched
        if folder.resolve() != shipped().resolve()
        for file in sorted(folder.rglob("*.yaml"))
        if (shipped() / (name := file.relative_to(folder))).is_file()
    ]


def near(file: Path) -> str:
    """A path as short as it can be said: relative to the current folder where it lies in there."""
    here = Path.cwd()
    return str(file.relative_to(here)) if file.is_relative_to(here) else str(file)


def where(pattern: str, files: Sequence[Path]) -> str:
    """` (in FILE)` for the files in which a line matches, at most three; nothing where none does."""
    found = [near(file) for file in files if re.search(pattern, _text(file), re.MULTILINE)]
    return f" (in {' or '.join(found[:3])})" if found else ""


def where_key(key: str, files: Sequence[Path]) -> str:
    """The same for files that set a key of this name, in block or flow style."""
    return where(rf"^\s*(.*[.{{\s,])?{re.escape(key)}\s*:", files)


def shipped_options(group: str) -> list[str]:
    """The shipped options of a config group."""
    return sorted(file.stem for file in (shipped() / group.partition("@")[0]).glob("*.yaml"))


def slots(chosen: Mapping[str, str | None]) -> dict[str, str]:
    """The config group that fills a dotted key: `strategy.objective` → `strategy/objective`."""
    # a group that stands for itself comes last, so that data@ is not taken for data/loading@data
    return {
        group.rpartition("@")[2].replace("/", "."): group
        for group in sorted(chosen, key=lambda g: "@" not in g)
    }


def explained(key: str, group: str, option: str | None) -> str:
    """Comment beside `key: ???` in the file of a shipped option."""
    file = shipped() / group.partition("@")[0] / f"{option}.yaml"
    comment = re.compile(rf"^{re.escape(key)}:\s*\?\?\?\s*#\s*(.*?)\s*$", re.MULTILINE)
    found = comment.search(_text(file)) if file.is_file() else None
    return found[1] if found else ""


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")
