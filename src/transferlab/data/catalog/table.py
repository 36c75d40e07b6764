"""A CSV or Parquet file that names images and their classes, and perhaps their splits and groups."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import KW_ONLY, dataclass
from difflib import get_close_matches
from pathlib import Path

import pandas as pd

from transferlab.config.bounds import PositiveInt
from transferlab.data.catalog.catalog import SPLIT_OF, Catalog, catalog_table
from transferlab.data.catalog.folder import existing_folder
from transferlab.data.catalog.walking import walk_files
from transferlab.data.data_error import DataError, some
from transferlab.data.image.file_facts import hash_files
from transferlab.data.image.reader import FileReader, content_hash


@dataclass(frozen=True)
class Table:
    """One row for each image.

    An empty cell is an unknown label, or no group. Labels that are all whole numbers are ordered as such.

    `conf/data/catalog/table.yaml` describes the arguments.
    A `.parquet` file needs pyarrow; everything else is read as CSV.
    """

    table: str | None
    _: KW_ONLY
    root: str | None = None
    path_column: str = "path"
    path_suffix: str = ""
    search: bool = False
    label_column: str = "label"
    split_column: str | None = None
    group_column: str | None = None
    separator: str = ","
    max_pixels: PositiveInt = 100_000_000

    def load(self) -> Catalog:
        file = _existing_file(self.table)
        root = existing_folder(self.root) if self.root is not None else file.parent
        rows = read_rows(file, self.separator)
        names = [name + self.path_suffix for name in self._column(rows, file, "path_column")]
        _refuse_blank_and_double(names, file)
        samples = _found_below(root, names) if self.search else _found_at(root, names, file)
        labels = self._column(rows, file, "label_column")
        classes = ordered_classes(labels)
        problem = (
            f"{file}: column {self.label_column} holds one class only ({some(classes)}). Telling classes "
            "apart takes two or more."
        )
        codes = {name: code for code, name in enumerate(classes)}
        groups, splits = None, None
        if self.group_column is not None:
            groups = [cell or None for cell in self._column(rows, file, "group_column")]
        if self.split_column is not None:
            splits = _splits(self._column(rows, file, "split_column"), file)
        return Catalog(
            table=catalog_table(
                samples,
                [codes.get(label) for label in labels],
                hash_files(root, samples, max_pixels=self.max_pixels),
                domain=file.stem,
                groups=groups,
                splits=splits,
            ),
            classes=classes,
            reader=FileReader(root, max_pixels=self.max_pixels),
            problems=(problem,) if len(classes) == 1 else (),
        )

    def _column(self, rows: pd.DataFrame, file: Path, option: str) -> list[str]:
        name = getattr(self, option)
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
            "Set data.root to the folder that the paths start from, data.source.path_suffix if they lack "
            "their ending, or data.source.search=true if the files lie in sub-folders."
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
    unknown = sorted({cell for cell in cells if cell and cell.lower() not in SPLIT_OF})
    if unknown:
        raise DataError(
            f"{file}: {some(unknown)} is no split. Use train, val or test, or leave all cells empty."
        )
    return [SPLIT_OF[cell.lower()] if cell else None for cell in cells]
