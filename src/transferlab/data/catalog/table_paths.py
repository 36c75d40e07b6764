"""Finds the files that a table names: from a root, or by their names anywhere below it."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath

from transferlab.data.catalog.walking import is_regular, walk_files
from transferlab.data.data_error import DataError, some
from transferlab.data.image.quarantine import QUARANTINE, moved_away
from transferlab.data.image.reader import content_hash


@dataclass
class FoundFiles:
    """The file of each name, a path from the root or an absolute one; None where it is in the quarantine."""

    files: list[str | None] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_files(root: Path, names: Sequence[str], table: Path, *, search: bool) -> FoundFiles:
    """The files that a table names, below the root or with absolute paths; raises `DataError`."""
    _refuse_double(root, names, table)
    found = _below(root, names) if search else _at(root, names, table)
    if moved := found.files.count(None):
        found.notes.append(
            f"{table}: {moved} of its {len(names)} images are left out: they were moved to "
            f"{root / QUARANTINE} before."
        )
    return found


def _refuse_double(root: Path, names: Sequence[str], table: Path) -> None:
    blank = [number + 2 for number, name in enumerate(names) if not name]
    if blank:
        raise DataError(f"{table}: line {some(blank)} names no image.")
    seen, double = set[str](), list[str]()
    for name in names:
        place = os.path.normpath(os.path.join(root, _slashes(name)))  # noqa: PTH118 (a million names)
        if place in seen:
            double.append(name)
        seen.add(place)
    if double:
        raise DataError(
            f"{table} names {some(dict.fromkeys(double))} more than once. Keep one row for each image."
        )


def _at(root: Path, names: Sequence[str], table: Path) -> FoundFiles:
    found, missing, moved, listed = FoundFiles(), list[str](), moved_away(root), _Listed(root)
    outside = [name for name in names if os.path.normpath(_slashes(name)).split("/")[0] == ".."]
    if outside:
        raise DataError(
            f"{table}: {len(outside)} images are outside of {root}: {some(outside)}. "
            "Fix: write whole paths (/...) into the table, or move it to a folder that holds them."
        )
    for name in names:
        file = _file_at(root, name, listed)
        if file is None and name not in moved and _slashes(name) not in moved:
            missing.append(name)
        found.files.append(file)
    if missing:
        raise DataError(
            f"{table} names {len(missing)} of {len(names)} images that are not below {root}: "
            f"{some(missing)}. {_advice(root, missing[0], listed)}"
        )
    return found


def _file_at(root: Path, name: str, listed: _Listed) -> str | None:
    """The path as it is written; or with slashes; or with names in another of Unicode's forms."""
    if _is_there(root, name):
        return name
    if _is_there(root, _slashes(name)):
        return _slashes(name)
    spelled = listed.spelled(_slashes(name))
    return spelled if spelled is not None and _is_there(root, spelled) else None


def _advice(root: Path, name: str, listed: _Listed) -> str:
    if os.path.lexists(root / name):
        return f"{name} is there, but it is a folder, a pipe or a device, or its link leads nowhere."
    if PureWindowsPath(name).drive:
        return (
            "These are whole paths of a Windows machine. Set data.root to the folder that holds the images, "
            "and data.source.search=true to find them by their names below it."
        )
    if there := listed.spelled(_slashes(name), of_any_case=True):
        return f"There is {there}: upper and lower case matter here. Spell both alike."
    return (
        "Set data.root to the folder that the paths start from, data.source.path_suffix if they lack "
        "their ending, or data.source.search=true if the files lie in sub-folders."
    )


def _below(root: Path, names: Sequence[str]) -> FoundFiles:
    places = defaultdict[str, list[Path]](list)
    for path in walk_files(root, root):
        places[_composed(path.name)].append(path)
    last = {name: _composed(_slashes(name).rpartition("/")[2]) for name in names}
    moved = {_composed(Path(sample).name) for sample in moved_away(root)}
    missing = [name for name in names if last[name] not in places and last[name] not in moved]
    if missing:
        raise DataError(f"{len(missing)} of {len(names)} images are nowhere below {root}: {some(missing)}.")
    for name in names:
        found = places.get(last[name], [])
        if len(found) > 1 and len({content_hash(path.read_bytes()) for path in found}) > 1:
            raise DataError(f"{name} is the name of different files: {some(found)}. Keep one.")
    firsts = [places[last[name]][0] if last[name] in places else None for name in names]
    return FoundFiles([None if path is None else path.relative_to(root).as_posix() for path in firsts])


def _slashes(name: str) -> str:
    """A path as this system writes it: a table may come from Windows."""
    return name.replace("\\", "/")


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _is_there(root: Path, name: str) -> bool:
    return is_regular(os.path.join(root, name))  # noqa: PTH118 (a million names)


class _Listed:
    """Names below a root as the file system spells them, each folder listed once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._entries: dict[Path, list[str]] = {}

    def spelled(self, name: str, *, of_any_case: bool = False) -> str | None:
        """A path whose names differ in Unicode's form alone (or also in case); None without one."""
        place = Path(name).parts[:1][0] if Path(name).is_absolute() else ""
        for part in Path(name).parts[1 if place else 0 :]:
            wanted = _composed(part).casefold() if of_any_case else _composed(part)
            for entry in self._inside(self._root / place):
                if (_composed(entry).casefold() if of_any_case else _composed(entry)) == wanted:
                    place = f"{place}/{entry}" if place else entry
                    break
            else:
                return None
        return place

    def _inside(self, folder: Path) -> list[str]:
        if folder not in self._entries:
            try:
                self._entries[folder] = sorted(os.listdir(folder))  # noqa: PTH208
            except OSError:
                self._entries[folder] = []
        return self._entries[folder]
