"""MNIST: 70,000 handwritten digits with their own training and test splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from transferlab.data.catalog.catalog import Catalog, catalog_table
from transferlab.data.catalog.digits import CLASSES
from transferlab.data.catalog.mnist_files import LabelledDigits, read_mnist
from transferlab.data.image.reader import ArrayReader, content_hash

NUM_IMAGES = {"train": 60_000, "test": 10_000}


class MNIST:
    """White strokes on black, 28x28 pixels, grey repeated to RGB; samples are called `train/00000`.

    LeCun et al. (1998), Gradient-Based Learning Applied to Document Recognition.

    Args:
        root: an .npz file (x_train, y_train, x_test, y_test), or a folder with `mnist.npz` or the idx files.
    """

    def __init__(self, root: str | None) -> None:
        self.root = root

    def load(self) -> Catalog:
        splits = read_mnist(self.root)
        samples = mnist_samples(splits)
        contents = [content_hash(image.tobytes()) for split in splits.values() for image in split.images]
        return Catalog(
            table=mnist_table(splits, samples, contents, domain="mnist"),
            classes=CLASSES,
            reader=ArrayReader(samples, lambda: _as_rgb(splits)),
            notices=size_notices(splits, self.root),
        )


def mnist_samples(splits: Mapping[str, LabelledDigits]) -> list[str]:
    """The samples' names, in MNIST's own order: its splits one after the other."""
    return [f"{name}/{row:05d}" for name, split in splits.items() for row in range(len(split.labels))]


def mnist_table(
    splits: Mapping[str, LabelledDigits], samples: Sequence[str], contents: Sequence[str], domain: str
) -> pd.DataFrame:
    """The catalog's table: MNIST's labels and splits; validation is carved from train later."""
    labels = np.concatenate([split.labels for split in splits.values()]).tolist()
    names = [name for name, split in splits.items() for _ in split.labels]
    return catalog_table(samples, labels, contents, domain, splits=names)


def size_notices(splits: Mapping[str, LabelledDigits], root: str | None) -> tuple[str, ...]:
    """A sentence where there are more or fewer images than MNIST has."""
    found = {name: len(split.labels) for name, split in splits.items()}
    if found == NUM_IMAGES:
        return ()
    held, has = (
        " and ".join(f"{num:,} {name}" for name, num in counts.items()) for counts in (found, NUM_IMAGES)
    )
    return (f"data.root={root} holds {held} images, where MNIST has {has}.",)


def _as_rgb(splits: Mapping[str, LabelledDigits]) -> np.ndarray:
    grey_NHW1 = np.concatenate([split.images for split in splits.values()])[..., None]
    return np.repeat(grey_NHW1, 3, axis=3)
