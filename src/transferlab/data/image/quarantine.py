"""The quarantine: a hidden folder in a data root that broken files are moved into, with the reasons."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

from transferlab.data.data_error import DataError
from transferlab.run.cache import write_whole
from transferlab.run.printable import printable

QUARANTINE = ".quarantine"  # no catalog looks into it
_REASONS = "reasons.csv"


def is_within(root: Path, file: str) -> bool:
    """True if a file (path absolute or from the root) lies in the root, links on the way followed."""
    return (root / file).parent.resolve().is_relative_to(root.resolve())


def move_away(root: Path, reasons: dict[str, str], files: dict[str, str]) -> Path:
    """Move samples into the quarantine of their root and write down why; nothing there is overwritten.

    Args:
        root: of the data.
        reasons: why each sample is moved.
        files: path of each sample's file, which lies within the root.

    Raises:
        DataError: a file cannot be moved, or the quarantine is a link to somewhere else.
    """
    place = root.resolve() / QUARANTINE
    for sample in reasons:
        start = (root / files[sample]).parent.resolve() / Path(files[sample]).name
        end = place / start.relative_to(root.resolve())
        if not end.parent.resolve().is_relative_to(place):
            raise DataError(
                f"{printable(end.parent)} is a link out of {printable(root)}, so nothing is moved into it. "
                "Delete it, or use data.on_bad_image=skip."
            )
        try:
            _move(start, end)
        except FileNotFoundError:
            continue  # another job of the sweep was quicker
        except OSError as error:
            raise DataError(
                f"{printable(start)} cannot be moved to {printable(end)} ({error.strerror}). Use "
                "data.on_bad_image=skip."
            ) from None
    lines = io.StringIO()
    rows = {"sample": "reason", **moved_away(root)}
    csv.writer(lines).writerows({**rows, **reasons}.items())
    write_whole(place / _REASONS, lines.getvalue().encode())
    return place


def moved_away(root: Path) -> dict[str, str]:
    """The reasons why samples were moved out of a root, in this run or an earlier one."""
    try:
        text = (root / QUARANTINE / _REASONS).read_text(encoding="utf-8")
        return {row[0]: row[1] for row in list(csv.reader(io.StringIO(text)))[1:] if len(row) == 2}
    except (OSError, ValueError, csv.Error):
        return {}


def _move(start: Path, end: Path) -> None:
    """Rename a file to `end`, or where that is taken, to the first free one of `end.1`, `end.2`, ..."""
    end.parent.mkdir(parents=True, exist_ok=True)
    free, number = end, 0
    while True:
        try:
            os.close(os.open(free, os.O_CREAT | os.O_EXCL | os.O_WRONLY))  # the name is ours from here on
            break
        except FileExistsError:
            number += 1
            free = end.with_name(f"{end.name}.{number}")
    try:
        start.rename(free)
    except OSError:
        free.unlink()
        raise
