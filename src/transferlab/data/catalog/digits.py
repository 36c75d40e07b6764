"""scikit-learn's handwritten digits: 1,797 real 8x8 scans, shipped with the library."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from transferlab.data.catalog.catalog import Catalog, catalog_table
from transferlab.data.image.reader import ArrayReader, content_hash

CLASSES = tuple("0123456789")


class Digits:
    """The digits as white strokes on black, 8x8 pixels, RGB.

    Alpaydin & Kaynak (1998), Optical Recognition of Handwritten Digits, UCI.
    """

    def load(self) -> Catalog:
        images, labels = scanned_digits()
        samples = [f"{row:04d}" for row in range(len(labels))]
        contents = [content_hash(image.tobytes()) for image in images]
        return Catalog(
            table=catalog_table(samples, labels.tolist(), contents, domain="digits"),
            classes=CLASSES,
            reader=ArrayReader(samples, lambda: np.repeat(scanned_digits()[0][..., None], 3, axis=3)),
        )


@lru_cache(maxsize=1)
def scanned_digits() -> tuple[np.ndarray, np.ndarray]:
    """Intensities scaled from 0..16 to uint8, shape (1797, 8, 8), and labels, shape (1797,)."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return np.rint(bunch.images * (255 / 16)).astype(np.uint8), bunch.target.astype(np.int64)
