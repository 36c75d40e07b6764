"""A CSV or Parquet file: its cells as text, and the files that it names."""

from __future__ import annotations

import codecs
import os
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import pandas as pd

from transferlab.data.catalog.walking import walk_files
from transferlab.data.data_error import DataError, some
from transferlab.data.image.file_index import stamps_of
from transferlab.data.image.quarantine import QUARANTINE, moved_away
from transferlab.data.image.reader import content_hash

_SEPARATORS = {",": "','", ";": "';'", "\t": "a tab", "|": "'|'"}  # that are looked for, in words
_WORDS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_rows(file: Path, separator: str | None, expected: str) -> tuple[pd.DataFrame, list[str]]:
    """All cells as text without blanks around, and notes; an empty cell is "", a class called NA stays one.

    Args:
        file: `.parquet`, or CSV of UTF-8 or, with its mark, UTF-16.
        separator: of a CSV file, a character or its name; None: the one that the first line has.
        expected: a column that the table should have, by which the separator is found.

    Raises:
        DataError: no table, or one without rows.
    """
    notes: list[str] = []
    try:
        if file.suffix.lower() == ".parquet":
            cells = pd.read_parquet(file)
            rows = cells.astype(str).where(cells.notna(), "")
        else:
            rows, notes = _read_csv(file, separator, expected)
    except ImportError:
        raise DataError(f"{file}: Parquet needs pyarrow (pip install pyarrow). Or save it as CSV.") from None
    except UnicodeDecodeError:
        raise DataError(
            f"{file} is not UTF-8 text. Fix: save it as CSV in UTF-8, or convert it: iconv -f WINDOWS-1252 "
            "-t UTF-8 FILE > NEW."
        ) from None
    except DataError:
        raise
    except (ValueError, OSError) as error:  # pandas' and pyarrow's own errors are of these families
        raise DataError(f"{file} cannot be read as a table: {str(error).strip()}.") from None
    if rows.empty:
        raise DataError(f"{file} has no rows.")
    rows.columns = pd.Index([str(name).strip() for name in rows.columns])
    return rows.apply(lambda column: column.str.strip()), notes


def _read_csv(file: Path, separator: str | None, expected: str) -> tuple[pd.DataFrame, list[str]]:
    with file.open("rb") as content:
        beginning = content.read(4)
    encoding = "utf-16" if beginning.startswith(_UTF_16) else "utf-8-sig"
    notes = []
    if separator is None:
        separator = _separator_of(file, encoding, expected)
        if separator != ",":
            notes.append(
                f"{file}: read with {_SEPARATORS[separator]} as separator, as its first line has it."
            )
    separator = _WORDS.get(separator.lower(), separator)
    if len(separator) != 1:
        names = ", ".join(name for name in _WORDS if name.isalpha())
        raise DataError(f"data.source.separator={separator}: must be one character, or one of {names}.")
    options: dict[str, Any] = {"sep": separator, "dtype": str, "keep_default_na": False, "encoding": encoding}
    rows = pd.read_csv(file, **options)
    if not isinstance(rows.index, pd.RangeIndex):  # pandas takes the first cells of longer rows as an index
        named = f"{len(rows.columns)} columns ({some(rows.columns, 20)})"
        raise DataError(
            f"{file}: its rows have more cells than its first line, which names {named}. Fix: "
            "give every column a name, or delete what ends the rows."
        )
    return rows.fillna(""), notes  # a row that is shorter


def _separator_of(file: Path, encoding: str, expected: str) -> str:
    """The separator with which the first line names the expected column; else the one that it has most of."""
    with file.open(encoding=encoding) as lines:
        header = lines.readline().rstrip("\r\n")
    for separator in _SEPARATORS:
        if expected in [name.strip().strip("\"'").strip() for name in header.split(separator)]:
            return separator
    return max(_SEPARATORS, key=header.count)


@dataclass
class FoundFiles:
    """The file of each name, a path from the root or an absolute one; None where it is in the quarantine.

    `stamps_N3`, where the files were looked at for it, are their stamps (`file_index.stamps_of`).
    """

    files: list[str | None] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    stamps_N3: np.ndarray | None = None


def find_files(root: Path, names: Sequence[str], table: Path, *, search: bool) -> FoundFiles:
    """The files that a table names, below the root or with absolute paths; raises `DataError`."""
    places = _places(root, names)
    _refuse_double(names, places, table)
    found = _below(root, names) if search else _at(root, names, places, table)
    if moved := found.files.count(None):
        found.notes.append(
            f"{table}: {moved} of its {len(names)} images are left out: they were moved to "
            f"{root / QUARANTINE} before."
        )
    return found


def _places(root: Path, names: Sequence[str]) -> list[str]:
    """Each name as a path from the root without detours; absolute where it leads elsewhere."""
    top, places = os.path.join(root, ""), []  # noqa: PTH118 (a million names)
    for name in names:
        place = os.path.normpath(_slashes(name)).removeprefix(top)
        places.append(name if place == name else place)  # a second text of a million takes memory
    return places


def _refuse_double(names: Sequence[str], places: Sequence[str], table: Path) -> None:
    blank = [number + 2 for number, name in enumerate(names) if not name]
    if blank:
        raise DataError(f"{table}: line {some(blank)} names no image.")
    if len(set(places)) == len(places):
        return
    seen, double = set[str](), list[str]()
    for name, place in zip(names, places, strict=True):
        if place in seen:
            double.append(name)
        seen.add(place)
    raise DataError(
        f"{table} names {some(dict.fromkeys(double))} more than once. Keep one row for each image."
    )


def _at(root: Path, names: Sequence[str], places: Sequence[str], table: Path) -> FoundFiles:
    missing, moved, listed = list[str](), moved_away(root), _Listed(root)
    outside = [
        name for name, place in zip(names, places, strict=True) if place == ".." or place.startswith("../")
    ]
    if outside:
        raise DataError(
            f"{table}: {len(outside)} images are outside of {root}: {some(outside)}. "
            "Fix: write whole paths (/...) into the table, or move it to a folder that holds them."
        )
    stamps_N3 = stamps_of(root, names)
    found = FoundFiles(list(names), stamps_N3=stamps_N3)
    for row in np.flatnonzero(stamps_N3[:, 0] < 0).tolist():
        name = names[row]
        file = _file_at(root, name, listed)
        if file is not None:
            stamps_N3[row] = stamps_of(root, [file])
        elif name not in moved and _slashes(name) not in moved:
            missing.append(name)
        found.files[row] = file
    if missing:
        raise DataError(
            f"{table} names {len(missing)} of {len(names)} images that are not below {root}: "
            f"{some(missing)}. {_advice(root, missing[0], listed)}"
        )
    return found


def _file_at(root: Path, name: str, listed: _Listed) -> str | None:
    """The path with slashes; or with names in another of Unicode's forms."""
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
    for entry in walk_files(root, root):
        places[_composed(entry.name)].append(Path(entry.path))
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
    return bool((stamps_of(root, [name]) >= 0).all())


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
