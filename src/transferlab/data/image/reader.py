"""Readers: a sample's name to its pixels."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from transferlab.data.data_error import DataError
from transferlab.data.image.decoding import BadImage, decode
from transferlab.run.printable import printable


class Reader(Protocol):
    """`reader(sample)` is the sample as uint8 RGB, shape (H, W, 3)."""

    in_memory: bool
    """True if reading costs nothing, so that workers and caches are not worth it."""

    def __call__(self, sample: str) -> np.ndarray: ...


class ArrayReader:
    """Images that are an array: made when first needed, so that building a catalog stays cheap."""

    in_memory = True

    def __init__(self, samples: list[str], images: Callable[[], np.ndarray]) -> None:
        self._row = {sample: row for row, sample in enumerate(samples)}
        self._make = images

    def __call__(self, sample: str) -> np.ndarray:
        return self._images[self._row[sample]]

    def __getstate__(self) -> dict[str, Any]:
        return {"_row": self._row, "_images": self._images}  # a function can seldom be pickled

    @cached_property
    def _images(self) -> np.ndarray:
        return self._make()


@dataclass(frozen=True, kw_only=True)
class EncodedReader(ABC):
    """Images that are stored encoded; one that cannot be decoded is an error that names it."""

    in_memory = False

    max_pixels: int

    @abstractmethod
    def content(self, sample: str) -> bytes:
        """The encoded image; raises `OSError`."""

    @abstractmethod
    def place(self, sample: str) -> str:
        """Where a user finds it."""

    def __call__(self, sample: str) -> np.ndarray:
        try:
            return decode(self.content(sample), max_pixels=self.max_pixels)
        except (BadImage, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise DataError(
                f"{self.place(sample)}: {reason}. Replace or delete it, or leave such images out with "
                "data.on_bad_image=skip."
            ) from None


@dataclass(frozen=True)
class FileReader(EncodedReader):
    """Image files below a folder; `odd` has the paths of those whose names cannot be printed as they are."""

    root: Path
    odd: Mapping[str, str] = field(default_factory=dict)

    def file(self, sample: str) -> str:
        """The path of a sample's file, from the root or absolute."""
        return self.odd.get(sample, sample)

    def path(self, sample: str) -> Path:
        return self.root / self.file(sample)

    def content(self, sample: str) -> bytes:
        return self.path(sample).read_bytes()

    def place(self, sample: str) -> str:
        return printable(self.root / sample)


def content_hash(content: bytes) -> str:
    """A hash by which exact duplicates are found."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()
