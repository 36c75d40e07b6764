"""A CSV or Parquet file that names images and their classes, and perhaps their splits and groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from difflib import get_close_matches
from pathlib import Path

import pandas as pd

from transferlab.config.bounds import PositiveInt
from transferlab.data.catalog.catalog import Catalog, catalog_table
from transferlab.data.catalog.folder import existing_folder
from transferlab.data.catalog.names import class_name, notes_on_names, ordered_classes, sample_names, split_of
from transferlab.data.catalog.table_file import find_files, read_rows
from transferlab.data.data_error import DataError, some
from transferlab.data.image.file_facts import hash_files
from transferlab.data.image.reader import FileReader
from transferlab.run.printable import printable


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
    label_columns: Sequence[str] | None = None
    split_column: str | None = None
    group_column: str | None = None
    separator: str | None = None
    max_pixels: PositiveInt = 100_000_000

    def load(self) -> Catalog:
        file = _existing_file(self.table)
        root = existing_folder(self.root) if self.root is not None else file.parent
        rows, notes = read_rows(file, self.separator, self.path_column)
        names = [name and name + self.path_suffix for name in self._column(rows, file, "path_column")]
        found = find_files(root, names, file, search=self.search)
        is_there = [each is not None for each in found.files]
        rows, files = rows[is_there], [each for each in found.files if each is not None]
        stamps_N3 = None if found.stamps_N3 is None else found.stamps_N3[is_there]
        samples, odd = sample_names(files)
        written = self._labels(rows, file)
        spelled = {text: class_name(text) for text in set(written)}
        labels = [spelled[text] for text in written]
        classes = ordered_classes(spelled.values())
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
                hash_files(root, files, max_pixels=self.max_pixels, stamps_N3=stamps_N3),
                domain=file.stem,
                groups=groups,
                splits=splits,
            ),
            classes=classes,
            reader=FileReader(root, max_pixels=self.max_pixels, odd=odd),
            notes=(*notes, *found.notes, *notes_on_names(spelled, file)),
            problems=(problem,) if len(classes) == 1 else (),
        )

    def _column(self, rows: pd.DataFrame, file: Path, option: str) -> list[str]:
        name = getattr(self, option)
        if name not in rows.columns:
            own = {self.path_column, self.label_column, self.split_column, self.group_column}
            close = get_close_matches(
                name, [each for each in rows.columns if each not in own], n=1, cutoff=0.4
            )
            hint = f" Did you mean {printable(close[0])}?" if close else ""
            if option == "label_column" and (columns := _columns_of_zeros_and_ones(rows)):
                hint = _about_one_hot(rows, columns)
            raise DataError(
                f"{file} has no column {name} (data.source.{option}). It has {some(rows.columns, 20)}.{hint}"
            )
        return rows[name].tolist()

    def _labels(self, rows: pd.DataFrame, file: Path) -> list[str]:
        """The label of each row, empty where it is unknown; of one-hot columns the name of the one with 1."""
        if self.label_columns is None:
            return self._column(rows, file, "label_column")
        chosen = list(self.label_columns)
        if unknown := [name for name in chosen if name not in rows.columns]:
            raise DataError(
                f"{file} has no column {some(unknown)} (data.source.label_columns). It has "
                f"{some(rows.columns, 20)}."
            )
        if wrong := [name for name in chosen if name not in _columns_of_zeros_and_ones(rows)]:
            raise DataError(
                f"{file}: column {some(wrong)} (data.source.label_columns) does not hold 0 and 1 alone. Fix: "
                "name the columns that say by 1 which class an image has."
            )
        marks = rows[chosen].apply(pd.to_numeric).fillna(0).to_numpy() == 1
        if (marks.sum(1) > 1).any():
            several = rows.index[marks.sum(1) > 1] + 2
            raise DataError(
                f"{file}: line {some(several)} has a 1 in several of {some(chosen)}. An image has one class "
                "here. Fix: leave such rows out, or name the combinations in a column of their own "
                "(data.source.label_column)."
            )
        return [chosen[row.argmax()] if row.any() else "" for row in marks]


def _columns_of_zeros_and_ones(rows: pd.DataFrame) -> list[str]:
    allowed = {"", "0", "1", "0.0", "1.0"}
    return [name for name in rows.columns if (found := set(rows[name].unique())) <= allowed and found != {""}]


def _about_one_hot(rows: pd.DataFrame, columns: list[str]) -> str:
    """A hint where a table has a column for each class."""
    sums = rows[columns].apply(pd.to_numeric).fillna(0).sum(axis=1)
    if len(columns) < 2:
        return ""
    if (sums == 1).all():
        return (
            f" Columns {some(columns)} hold one 1 in each row (one-hot). Fix: "
            f"'data.source.label_columns=[{printable(','.join(columns))}]'"
        )
    return (
        f" Columns {some(columns)} hold 0 and 1, in some rows several or no 1. If some are classes, of which "
        f"each image has one, name them: 'data.source.label_columns=[{printable(','.join(columns))}]'. "
        "Several classes of one image are not supported."
    )


def _existing_file(table: str | None) -> Path:
    if not table:
        raise DataError("data.source.table has no value. Set it to a CSV or Parquet file.")
    path = Path(table).expanduser()
    try:
        if path.is_file():
            return path.resolve()
    except OSError as error:
        raise DataError(f"data.source.table={table} cannot be read ({error.strerror}).") from None
    raise DataError(f"data.source.table={table} is not a file (looked for {path.absolute()}).")


def _splits(cells: list[str], file: Path) -> list[str | None]:
    meant = {cell: split_of(cell) for cell in set(cells)}
    unknown = sorted(cell for cell, split in meant.items() if cell and split is None)
    if unknown:
        raise DataError(
            f"{file}: {some(unknown)} is no split. Use train, val or test, or leave all cells empty."
        )
    return [meant[cell] for cell in cells]
