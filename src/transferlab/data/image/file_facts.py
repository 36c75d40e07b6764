"""Facts of image files: the hash by which copies are found, and what decoding shows; each file is read once.

Files that the index knows are not read at all: `file_index.py`.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import PIL

from transferlab.data.data_error import DataError, some
from transferlab.data.image.decoding import Examined, examine
from transferlab.data.image.file_index import (
    STAMP,
    FileIndex,
    Stamp,
    index_place,
    load_index,
    path_of,
    stamp_of,
    stamps_of,
    store_index,
)
from transferlab.data.image.reader import content_hash
from transferlab.data.loading.workers import usable_cores
from transferlab.run.cache import exclusive, mark_used
from transferlab.run.printable import printable
from transferlab.run.progress import progress

Verify = Literal["index", "contents"]

DECODER = "decoder 3"  # change it when decoding changes what counts as broken
RACY_NS = 2 * 10**9  # a file changed so shortly before it is read may change again with the same time
SKEW_NS = 3600 * 10**9  # by so much a file server's clock may be ahead; later times are no clock's
MANY = 256  # from so many files on, one process reads them and others wait
SAVED_EVERY_S = 60.0
_CHUNK, _PORTION = 64, 4096  # files per task of a thread, and between two looks at the clock


@dataclass(frozen=True, eq=False)
class FileFacts:
    """Content hash of each sample's file and, where they were examined, the result."""

    root: Path
    samples: Sequence[str]
    contents: list[str]
    examined: list[Examined] | None


@dataclass
class Reading:
    """Rules by which files are read, sentences for the user, and the last result."""

    examines: bool = False
    verify: Verify = "index"
    notes: list[str] = field(default_factory=list)
    last: FileFacts | None = None


_reading: ContextVar[Reading | None] = ContextVar("reading", default=None)


@contextmanager
def reading(*, examines: bool, verify: Verify) -> Iterator[Reading]:
    """The rules by which catalogs that are loaded within read their files.

    Args:
        examines: decode each file as it is hashed, so that its bytes are read once.
        verify: `contents` reads files also where the index knows them.
    """
    now = Reading(examines, verify)
    token = _reading.set(now)
    try:
        yield now
    finally:
        _reading.reset(token)


def verifies_contents() -> bool:
    """True if what is remembered of images is not to be trusted."""
    now = _reading.get()
    return now is not None and now.verify == "contents"


def is_racy(stamps_N3: np.ndarray) -> bool:
    """True if a file was changed so lately that it may change again with the same time."""
    now_ns = time.time_ns()
    return any(_may_change_again(changed_ns, now_ns) for changed_ns in stamps_N3[:, 1].tolist())


def _may_change_again(changed_ns: int, now_ns: int) -> bool:
    return now_ns - RACY_NS <= changed_ns < now_ns + SKEW_NS


def hash_files(
    root: Path, samples: list[str], *, max_pixels: int = 100_000_000, stamps_N3: np.ndarray | None = None
) -> list[str]:
    """A content hash of each file; `stamps_N3` where they are known. `DataError`: one cannot be read."""
    now = _reading.get() or Reading()
    now.last = file_facts(
        root, samples, max_pixels=max_pixels, examines=now.examines, now=now, stamps_N3=stamps_N3
    )
    return now.last.contents


def examined_files(root: Path, samples: list[str], *, max_pixels: int) -> list[Examined]:
    """The result of decoding each file: known from `hash_files` within the same `reading`, or looked up."""
    now = _reading.get() or Reading()
    last = now.last
    if last is None or last.examined is None or last.root != root:
        last = file_facts(root, samples, max_pixels=max_pixels, examines=True, now=now)
    assert last.examined is not None
    if last.samples == samples:
        return last.examined
    known = dict(zip(last.samples, last.examined, strict=True))
    return [known[sample] for sample in samples]


def file_facts(
    root: Path,
    samples: list[str],
    *,
    max_pixels: int,
    examines: bool,
    now: Reading | None = None,
    stamps_N3: np.ndarray | None = None,
) -> FileFacts:
    """The index's facts of files that have not changed since, and what reading the others shows.

    Raises:
        DataError: a file cannot be read.
    """
    now = now or Reading()
    made_by = f"{DECODER}, max_pixels {max_pixels}, Pillow {PIL.__version__}, OpenCV {cv2.__version__}"
    place = index_place(root)
    stamps_N3 = stamps_of(root, samples) if stamps_N3 is None else stamps_N3
    index, damage = load_index(place, made_by)
    now.notes += damage
    rows = index.rows_of(samples)
    fits = _fits(rows, stamps_N3, examines)
    if fits.all() and now.verify == "index":
        mark_used(place)
    else:
        with ExitStack() as stack:
            if (~fits).sum() >= MANY and _enter(stack, place):
                index, _ = load_index(place, made_by)  # another process may have read them meanwhile
                rows = index.rows_of(samples)
                fits = _fits(rows, stamps_N3, examines)
            before = rows.copy()
            wanted = np.arange(len(samples)) if now.verify == "contents" else np.flatnonzero(~fits)
            _read(root, samples, rows, wanted, index, max_pixels, examines)
            changed = np.flatnonzero(fits & (rows["content"] != before["content"]))
            if len(changed):
                now.notes.append(_of_changes(root, [samples[row] for row in changed]))
            store_index(place, index.merged(samples, rows))
    whole = rows["content"].tobytes().hex()
    contents = [whole[start : start + 32] for start in range(0, len(whole), 32)]
    facts = [index.facts[code] for code in rows["facts"].tolist()] if examines else None
    return FileFacts(root, samples, contents, facts)


def _fits(rows: np.ndarray, stamps_N3: np.ndarray, examines: bool) -> np.ndarray:
    """True where the index's row still holds."""
    fits = stamps_N3[:, 0] >= 0
    for column, name in enumerate(STAMP):
        fits &= rows[name] == stamps_N3[:, column]
    return fits & (rows["facts"] >= 0) if examines else fits


def _enter(stack: ExitStack, place: Path) -> bool:
    """Be the only one who reads these files; False where the cache cannot be written to."""
    try:
        stack.enter_context(exclusive(place, waiting="waiting for another run that reads these images"))
    except OSError:
        return False
    return True


def _read(
    root: Path,
    samples: list[str],
    rows: np.ndarray,
    wanted: np.ndarray,
    index: FileIndex,
    max_pixels: int,
    examines: bool,
) -> None:
    """Fill in the wanted rows; every minute the index is stored."""

    def read(chunk: np.ndarray) -> list[tuple[Stamp, bytes, Examined | None]]:
        return [_file(path_of(root, samples[row]), max_pixels, examines) for row in chunk]

    saved_s, text = time.monotonic(), "Reading and checking" if examines else "Reading"
    with (
        ThreadPoolExecutor(max_workers=max(4, usable_cores())) as pool,
        progress(text, len(wanted), "images") as advance,
    ):
        for start in range(0, len(wanted), _PORTION):  # a pool's results pile up in memory
            portion = wanted[start : start + _PORTION]
            chunks = [portion[at : at + _CHUNK] for at in range(0, len(portion), _CHUNK)]
            for chunk, found in zip(chunks, pool.map(read, chunks), strict=True):
                for row, (stamp, content, facts) in zip(chunk, found, strict=True):
                    code = -1 if facts is None else index.code(facts)
                    rows[row] = (*stamp, content, code)
                advance(len(chunk))
            if time.monotonic() - saved_s > SAVED_EVERY_S:
                store_index(index_place(root), index.merged(samples, rows))
                saved_s = time.monotonic()


def _file(path: str, max_pixels: int, examines: bool) -> tuple[Stamp, bytes, Examined | None]:
    """Stamp, hash and facts of one file; size -1 if it may change, or has changed, unnoticed."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
            raise DataError(f"{printable(path)} is not a regular file, so it cannot be read. Fix: delete it.")
        now_ns = time.time_ns()
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            before = os.fstat(file.fileno())
            content = file.readall()
            after = os.fstat(file.fileno())
    except OSError as error:
        raise DataError(f"{printable(path)} cannot be read: {error.strerror}.") from None
    stamp = stamp_of(before)
    if _may_change_again(before.st_mtime_ns, now_ns) or stamp != stamp_of(after):
        stamp = (-1, *stamp[1:])
    facts = examine(content, max_pixels=max_pixels) if examines else None
    return stamp, bytes.fromhex(content_hash(content)), facts


def _of_changes(root: Path, changed: list[str]) -> str:
    number = "1 file has" if len(changed) == 1 else f"{len(changed)} files have"
    return (
        f"data.verify=contents: {number} other contents than before though size, time and inode are the "
        f"same: {some(changed)} (in {printable(root)}). They are used as they are now."
    )
