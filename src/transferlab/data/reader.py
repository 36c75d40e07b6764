"""From a sample's name to its pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from transferlab.data.decoding import BadImage, decode_file
from transferlab.data.errors import DataError


class Reader(Protocol):
    """`reader(sample)` is the sample as uint8 RGB, shape (H, W, 3)."""

    in_memory: bool
    """Whether reading costs nothing, so that workers and caches are not worth it."""

    def __call__(self, sample: str) -> np.ndarray: ...


class ArrayReader:
    """Images that are an array: made when first needed, so that building a catalog stays cheap."""

    in_memory = True

    def __init__(self, samples: list[str], images: Callable[[], np.ndarray]) -> None:
        self._row = {sample: row for row, sample in enumerate(samples)}
        self._make = images
        self._images: np.ndarray | None = None

    def __call__(self, sample: str) -> np.ndarray:
        if self._images is None:
            self._images = self._make()
        return self._images[self._row[sample]]


class FileReader:
    """Image files below a folder; a file that cannot be read is an error that names it."""

    in_memory = False

    def __init__(self, root: Path, *, max_pixels: int) -> None:
        self.root = root
        self.max_pixels = max_pixels

    def path(self, sample: str) -> Path:
        return self.root / sample

    def __call__(self, sample: str) -> np.ndarray:
        try:
            return decode_file(self.path(sample), max_pixels=self.max_pixels)
        except BadImage as error:
            raise DataError(
                f"{self.path(sample)}: {error}. Mend or delete the file, or leave such files out with "
                f"data.on_bad_image=skip."
            ) from None


def content_hash(content: bytes) -> str:
    """A hash by which exact duplicates are found."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()
