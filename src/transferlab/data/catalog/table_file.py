"""Reads the cells of a CSV or Parquet file as text."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

import pandas as pd

from transferlab.data.data_error import DataError, some

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
