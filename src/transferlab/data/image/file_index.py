"""Index of image files: what reading each has shown, by path, size, modification time and inode.

As in git's index, a file whose size, time and inode have not changed is not read again. There is one index
per folder that samples start from, in the user's cache, shared by all runs. It is replaced at once, so that a
killed process, a full disk or two writers cost time at most.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from transferlab.data.image.decoding import Examined
from transferlab.run.cache import GIB, cache_folder, evict, write_whole

MOST_BYTES = 1.0 * GIB  # of all indexes: some ten million files
MOST_OTHERS = 100_000  # files that nobody asked for this time, or as many as were asked for
WORTH_A_LINE = 1000  # files
ROW = np.dtype(
    [("size", "<i8"), ("modified_ns", "<i8"), ("inode", "<i8"), ("content", "V16"), ("facts", "<i4")]
)
STAMP = ("size", "modified_ns", "inode")
_FORMAT = b"transferlab files 1\n"
_BETWEEN = "\0"  # names: no path holds it


def index_place(root: Path) -> Path:
    """The file of the index of samples below `root`."""
    name = hashlib.blake2b(os.fsencode(root.absolute()), digest_size=16).hexdigest()
    return cache_folder("files") / f"{name}.index"


Stamp = tuple[int, int, int]  # size, modification time in ns, inode
UNKNOWN: Stamp = (-1, -1, -1)


def stamps_of(root: Path, files: Sequence[str]) -> np.ndarray:
    """The stamp of each regular file, from the root or absolute, int64 (N, 3); -1 where there is none."""
    stamps = (number for file in files for number in _stamp_or_unknown(path_of(root, file)))
    return np.fromiter(stamps, np.int64, 3 * len(files)).reshape(-1, 3)


def path_of(root: Path, file: str) -> str:
    """The whole path: `root / file` takes ten times as long."""
    return file if file.startswith("/") else f"{root}/{file}"


def stamp_of(status: os.stat_result) -> Stamp:
    return status.st_size, status.st_mtime_ns, status.st_ino & (2**63 - 1)


def _stamp_or_unknown(path: str) -> Stamp:
    try:
        status = os.stat(path)  # noqa: PTH116 (a million names)
    except (OSError, ValueError):  # a name may hold what no path can
        return UNKNOWN
    return stamp_of(status) if stat.S_ISREG(status.st_mode) else UNKNOWN


class FileIndex:
    """Rows by sample; their `facts` are places in a list of different results, -1 where not examined.

    The samples' names are one text, for as long as nobody asks for others than the same ones again.
    """

    def __init__(self, made_by: str, joined: str, rows: np.ndarray, facts: list[Examined]) -> None:
        self.made_by = made_by
        self.joined = joined
        self.rows = rows
        self.facts = facts
        self._codes = {one: code for code, one in enumerate(facts)}

    @property
    def names(self) -> list[str]:
        return self.joined.split(_BETWEEN) if len(self.rows) else []

    def code(self, facts: Examined) -> int:
        code = self._codes.setdefault(facts, len(self.facts))
        if code == len(self.facts):
            self.facts.append(facts)
        return code

    def rows_of(self, samples: list[str]) -> np.ndarray:
        """A row for each sample, of size -1 where it is unknown."""
        if len(samples) == len(self.rows) and _BETWEEN.join(samples) == self.joined:
            return self.rows.copy()
        rows = np.zeros(len(samples), dtype=ROW)
        rows["size"], rows["facts"] = -1, -1
        if not len(self.rows):
            return rows
        place = {name: row for row, name in enumerate(self.names)}
        found = np.fromiter((place.get(sample, -1) for sample in samples), np.int64, len(samples))
        rows[found >= 0] = self.rows[found[found >= 0]]
        return rows

    def merged(self, samples: list[str], rows: np.ndarray) -> FileIndex:
        """These samples' trusted rows and, unless they are the greater part, what else was known."""
        trusted = rows["size"] >= 0
        names = samples if trusted.all() else [samples[row] for row in np.flatnonzero(trusted)]
        rows, joined = rows[trusted], _BETWEEN.join(names)
        if self.joined != joined:
            asked, known = set(samples), self.names
            others = [row for row, name in enumerate(known) if name not in asked]
            if len(others) <= max(len(samples), MOST_OTHERS):
                joined = _BETWEEN.join([*names, *(known[row] for row in others)])
                rows = np.concatenate([rows, self.rows[others]])
        used = np.unique(rows["facts"])
        used = used[used >= 0]
        code_of = np.full(len(self.facts) + 1, -1, dtype=np.int32)  # the last is that of -1
        code_of[used] = np.arange(len(used))
        rows["facts"] = code_of[rows["facts"]]
        return FileIndex(self.made_by, joined, rows, [self.facts[code] for code in used])


def load_index(place: Path, made_by: str) -> tuple[FileIndex, list[str]]:
    """The stored index, or an empty one and, if what is stored is damaged, a note.

    Facts that were found out by others than `made_by` (another decoder, say) are left out.
    """
    damage = []
    try:
        return _decoded(place.read_bytes(), made_by), []
    except OSError:
        pass
    except (ValueError, LookupError, TypeError, EOFError, zipfile.BadZipFile):
        damage = [f"{place} is damaged: it is made anew, and all images are read again."]
    return FileIndex(made_by, "", np.zeros(0, dtype=ROW), []), damage


def _encoded(index: FileIndex) -> bytes:
    about = {"made_by": index.made_by, "facts": [asdict(one) for one in index.facts]}
    names = index.joined.encode("utf-8", "surrogateescape")
    file = io.BytesIO()
    np.savez(
        file,
        rows=index.rows,
        names=np.frombuffer(names, np.uint8),
        about=np.frombuffer(json.dumps(about).encode(), np.uint8),
    )
    content = file.getbuffer()
    return b"".join([_FORMAT, hashlib.blake2b(content, digest_size=16).digest(), content])


def _decoded(stored: bytes, made_by: str) -> FileIndex:
    """Raises `ValueError` and the like for what `_encoded` has not made."""
    head = len(_FORMAT) + 16
    content = memoryview(stored)[head:]
    if stored[:head] != _FORMAT + hashlib.blake2b(content, digest_size=16).digest():
        raise ValueError("damaged")
    with np.load(io.BytesIO(content), allow_pickle=False) as parts:
        rows = parts["rows"]
        names = parts["names"].tobytes().decode("utf-8", "surrogateescape")
        about = json.loads(parts["about"].tobytes())
    facts: list[Examined] = []
    if about["made_by"] == made_by:
        facts = [Examined(**_with_tuples(one)) for one in about["facts"]]
    else:
        rows["facts"] = -1
    if rows.dtype != ROW or (len(rows) and names.count(_BETWEEN) + 1 != len(rows)):
        raise ValueError("damaged")
    return FileIndex(made_by, names, rows, facts)


def _with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def store_index(place: Path, index: FileIndex) -> None:
    try:
        write_whole(place, _encoded(index))
        evict(place.parent.glob("*.index"), MOST_BYTES, last=[place])
    except OSError as error:  # a home that cannot be written to costs time only
        if len(index.rows) >= WORTH_A_LINE:
            sys.stderr.write(
                f"{place} cannot be written ({error.strerror or error}): the next run reads all images "
                "again. Set TRANSFERLAB_CACHE to a folder that can be written to.\n"
            )
