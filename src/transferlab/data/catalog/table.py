"""A CSV or Parquet file that names images and their classes, and perhaps their splits and groups."""

from __future__ import annotations

from collections import defaultdict
from difflib import get_close_matches
from pathlib import Path

import pandas as pd

from transferlab.config.bounds import PositiveInt
from transferlab.data.catalog.catalog import SPLIT_NAMES, Catalog, catalog_table
from transferlab.data.catalog.folder import existing_folder
from transferlab.data.catalog.walking import hash_files, walk_files
from transferlab.data.data_error import DataError, some
from transferlab.data.image.reader import FileReader, content_hash


class Table:
    """One row for each image.

    An empty cell is an unknown label, or no group. Labels that are all whole numbers are ordered as such.

    Args:
        table: the file; `.parquet` needs pyarrow, everything else is read as CSV.
        root: the folder that paths in the table start from; None = the table's own.
        path_column: column of the image's path or name.
        path_suffix: added to every path, such as `.jpg` where the column holds bare identifiers.
        search: look for the file names anywhere below the root.
        label_column: column of the class.
        split_column: column of train, val or test; None = split here.
        group_column: column of what must stay together, such as a patient; None = every image for itself.
        separator: between the columns of a CSV file.
        max_pixels: larger images count as broken, so that no file can fill the memory.
    """

    def __init__(
        self,
        table: str | None,
        *,
        root: str | None = None,
        path_column: str = "path",
        path_suffix: str = "",
        search: bool = False,
        label_column: str = "label",
        split_column: str | None = None,
        group_column: str | None = None,
        separator: str = ",",
        max_pixels: PositiveInt = 100_000_000,
    ) -> None:
        self.table = table
        self.root = root
        self.path_column = path_column
        self.path_suffix = path_suffix
        self.search = search
        self.label_column = label_column
        self.split_column = split_column
        self.group_column = group_column
        self.separator = separator
        self.max_pixels = max_pixels

    def load(self) -> Catalog:
        file = _existing_file(self.table)
        root = existing_folder(self.root) if self.root is not None else file.parent
        rows = read_rows(file, self.separator)
        names = [
            name + self.path_suffix for name in self._column(rows, file, "path_column", self.path_column)
        ]
        _refuse_blank_and_double(names, file)
        samples = _found_below(root, names) if self.search else _found_at(root, names, file)
        labels = self._column(rows, file, "label_column", self.label_column)
        classes = ordered_classes(labels)
        problems = []
        if len(classes) == 1:
            problems.append(
                f"{file}: column {self.label_column} holds one class only ({classes[0]}). Telling classes "
                "apart "
                "takes two or more."
            )
        codes = {name: code for code, name in enumerate(classes)}
        groups, splits = None, None
        if self.group_column is not None:
            groups = [cell or None for cell in self._column(rows, file, "group_column", self.group_column)]
        if self.split_column is not None:
            splits = _splits(self._column(rows, file, "split_column", self.split_column), file)
        return Catalog(
            table=catalog_table(
                samples,
                [codes.get(label) for label in labels],
                hash_files(root, samples),
                domain=file.stem,
                groups=groups,
                splits=splits,
            ),
            classes=classes,
            reader=FileReader(root, max_pixels=self.max_pixels),
            problems=tuple(problems),
        )

    def _column(self, rows: pd.DataFrame, file: Path, option: str, name: str) -> list[str]:
        if name not in rows.columns:
            close = get_close_matches(name, rows.columns, n=1, cutoff=0.4)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise DataError(
                f"{file} has no column {name} (data.source.{option}). It has {some(rows.columns, 20)}.{hint}"
            )
        return rows[name].tolist()


def read_rows(file: Path, separator: str) -> pd.DataFrame:
    """All cells as text; an empty cell is "", and a class called NA stays a class."""
    try:
        if file.suffix.lower() == ".parquet":
            cells = pd.read_parquet(file)
            rows = cells.astype(str).where(cells.notna(), "")
        else:
            rows = pd.read_csv(file, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except ImportError:
        raise DataError(f"{file}: Parquet needs pyarrow (pip install pyarrow). Or save it as CSV.") from None
    except (ValueError, OSError) as error:  # pandas' and pyarrow's own errors are of these families
        raise DataError(f"{file} cannot be read as a table: {str(error).strip()}.") from None
    if rows.empty:
        raise DataError(f"{file} has no rows.")
    return rows


def ordered_classes(labels: list[str]) -> tuple[str, ...]:
    """The different labels, numbers by value and all else by letter.

    >>> ordered_classes(["10", "9", "", "9"]), ordered_classes(["b", "a"])
    (('9', '10'), ('a', 'b'))
    """
    names = {label for label in labels if label}
    try:
        return tuple(sorted(names, key=int))
    except ValueError:
        return tuple(sorted(names))


def _existing_file(table: str | None) -> Path:
    if not table:
        raise DataError("data.source.table has no value. Set it to a CSV or Parquet file.")
    path = Path(table).expanduser()
    if not path.is_file():
        raise DataError(f"data.source.table={table} is not a file (looked for {path.absolute()}).")
    return path.resolve()


def _refuse_blank_and_double(names: list[str], file: Path) -> None:
    blank = [number + 2 for number, name in enumerate(names) if not name]
    if blank:
        raise DataError(f"{file}: line {some(blank)} names no image.")
    double = pd.Series(names)[pd.Series(names).duplicated()]
    if len(double):
        raise DataError(f"{file} names {some(double.unique())} more than once. Keep one row for each image.")


def _found_at(root: Path, names: list[str], file: Path) -> list[str]:
    missing = [name for name in names if not (root / name).is_file()]
    if missing:
        raise DataError(
            f"{file} names {len(missing)} of {len(names)} images that are not below {root}: {some(missing)}. "
            "Set "
            "data.root to the folder that the paths start from, data.source.path_suffix if they lack their "
            "ending, or "
            "data.source.search=true if the files lie in sub-folders."
        )
    return names


def _found_below(root: Path, names: list[str]) -> list[str]:
    places = defaultdict(list)
    for path in walk_files(root, root):
        places[path.name].append(path)
    missing = [name for name in names if Path(name).name not in places]
    if missing:
        raise DataError(f"{len(missing)} of {len(names)} images are nowhere below {root}: {some(missing)}.")
    for name in names:
        found = places[Path(name).name]
        if len(found) > 1 and len({content_hash(path.read_bytes()) for path in found}) > 1:
            raise DataError(f"{name} is the name of different files: {some(found)}. Keep one.")
    return [places[Path(name).name][0].relative_to(root).as_posix() for name in names]


def _splits(cells: list[str], file: Path) -> list[str | None]:
    known = {name: split for split, names in SPLIT_NAMES.items() for name in names}
    unknown = sorted({cell for cell in cells if cell and cell.lower() not in known})
    if unknown:
        raise DataError(
            f"{file}: {some(unknown)} is no split. Use train, val or test, or leave all cells empty."
        )
    return [known[cell.lower()] if cell else None for cell in cells]
