"""A shard of the feature store: rows of features in one safetensors file that appears whole, carries the
checksum of all its bytes in its name, and is read through a memory map.
"""

from __future__ import annotations

import json
import mmap
import os
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from transferlab.feature.layout import ShardFile, shard_name
from transferlab.run.cache import write_whole

MOST_BYTES = 2**26
MOST_ROWS = 2**17  # their keys stand in the file's header, which safetensors bounds
MOST_S = 60.0  # what a killed run loses of a slow computation
_verified: set[tuple[str, int, int, int]] = set()  # path, inode, bytes, time of modification


class CorruptShard(Exception):
    """The file is not what was written; the text says how."""


class Shard:
    """Rows of features, mapped from a file; the mapping outlives the file.

    `features` are (rows, ...) on the CPU; writing into them changes this process's copy alone.
    """

    def __init__(self, file: ShardFile) -> None:
        """Read the header.

        Raises:
            CorruptShard: it is cut short or not a shard.
            FileNotFoundError: it is gone.
            OSError: it cannot be read.
        """
        self.file = file
        try:
            opened = safe_open(file.path, framework="pt")
            self.keys: list[str] = json.loads(opened.metadata()["keys"])
            self.features: Tensor = opened.get_tensor("features")
            if not len(self.keys) == len(self.features) == file.num_rows:
                raise ValueError(f"{len(self.features)} rows with {len(self.keys)} keys")
            if not all(isinstance(key, str) for key in self.keys):
                raise ValueError("its keys are no texts")
        except (SafetensorError, ValueError, TypeError, KeyError) as error:
            raise CorruptShard(f"{file.path} is no whole shard ({error})") from None
        except RuntimeError as error:  # torch's mapping, which opens the file once more
            if not file.path.exists():
                raise FileNotFoundError(str(file.path)) from None
            raise OSError(str(error)) from None

    @property
    def is_small(self) -> bool:
        """True if it is far from full."""
        return self.features.nbytes < MOST_BYTES // 4 and len(self.keys) < MOST_ROWS // 4

    def verify(self) -> None:
        """Compare the checksum, once a process.

        Raises:
            CorruptShard: it differs.
            FileNotFoundError: the file is gone.
        """
        with self.file.path.open("rb") as file:
            status = os.fstat(file.fileno())
            identity = (str(self.file.path), status.st_ino, status.st_size, status.st_mtime_ns)
            if identity in _verified:
                return
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                checksum = zlib.crc32(content)
        if checksum != self.file.checksum:
            raise CorruptShard(f"{self.file.path} has the checksum {checksum:08x}")
        _verified.add(identity)


def write_shard(
    space: Path, keys: Sequence[str], features: Tensor, make_room: Callable[[int], None]
) -> Shard:
    """Write N rows, contiguous on the CPU, into the space's folder and read them back.

    `make_room` is called with the number of bytes before they are written.

    Raises:
        OSError: they could not be written or not be read back as they were.
    """
    content = save({"features": features}, {"keys": json.dumps(list(keys))})
    checksum = zlib.crc32(content)
    file = ShardFile(space / shard_name(len(keys), checksum), len(keys), checksum)
    for _ in range(2):
        with suppress(FileNotFoundError):  # another process clears the store meanwhile
            return _write(file, content, make_room)
    return _write(file, content, make_room)


def _write(file: ShardFile, content: bytes, make_room: Callable[[int], None]) -> Shard:
    make_room(len(content))
    write_whole(file.path, content)
    try:
        shard = Shard(file)
        shard.verify()
    except CorruptShard as error:
        raise OSError(str(error)) from None
    return shard


class ShardWriter:
    """Gathers `num_rows` rows and writes a shard at 64 MiB of them, or when the first one is a minute old."""

    def __init__(self, space: Path, num_rows: int, make_room: Callable[[int], None]) -> None:
        self._space = space
        self._remaining = num_rows
        self._make_room = make_room
        self._keys: list[str] = []
        self._buffer: Tensor | None = None
        self._since = 0.0

    def add(self, keys: Sequence[str], features: Tensor) -> list[Shard]:
        """Take rows (copied); the shards that were written.

        Raises:
            ValueError: the rows have another shape or type than those before.
            OSError: a shard could not be written.
        """
        written = []
        features = features.detach()
        start = 0
        while start < len(keys):
            if self._buffer is None:
                self._buffer = torch.empty(
                    (self._capacity(features), *features.shape[1:]), dtype=features.dtype
                )
                self._since = time.monotonic()
            if features.shape[1:] != self._buffer.shape[1:] or features.dtype != self._buffer.dtype:
                raise ValueError(
                    f"rows of {tuple(features.shape[1:])} {features.dtype} after rows of "
                    f"{tuple(self._buffer.shape[1:])} {self._buffer.dtype}"
                )
            end = min(len(keys), start + len(self._buffer) - len(self._keys))
            at = len(self._keys)
            self._buffer[at : at + end - start] = features[start:end]
            self._keys += keys[start:end]
            start = end
            if len(self._keys) == len(self._buffer) or time.monotonic() - self._since > MOST_S:
                written += self.flush()
        return written

    def flush(self) -> list[Shard]:
        """Write what has been gathered, if anything."""
        if self._buffer is None or not self._keys:
            return []
        keys, features = self._keys, self._buffer[: len(self._keys)]
        self._keys, self._buffer = [], None
        self._remaining -= len(keys)
        return [write_shard(self._space, keys, features, self._make_room)]

    def _capacity(self, features: Tensor) -> int:
        """Rows of the next shard."""
        row_bytes = max(1, features[:1].nbytes)
        return max(1, min(MOST_BYTES // row_bytes, MOST_ROWS, self._remaining))
