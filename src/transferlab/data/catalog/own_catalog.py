"""A catalog of the user's own: `make_catalog` makes one, `load` refuses what is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from transferlab.config.instantiation import described
from transferlab.data.catalog.catalog import COLUMNS, SPLIT_NAMES, Catalog, CatalogSource, catalog_table
from transferlab.data.catalog.table import ordered_classes
from transferlab.data.catalog.walking import hash_files
from transferlab.data.data_error import DataError, some
from transferlab.data.image.reader import FileReader, content_hash
from transferlab.run.errors import UserError

Read = Callable[[str], np.ndarray]


def make_catalog(
    samples: Sequence[str],
    labels: Sequence[str | None],
    *,
    read: Read | None = None,
    root: str | Path | None = None,
    groups: Sequence[str | None] | None = None,
    splits: Sequence[str | None] | None = None,
    max_pixels: int = 100_000_000,
) -> Catalog:
    """A catalog from lists with one entry per sample; every image is read once, to find copies.

    Args:
        samples: their names, all different; with `root` the paths of image files below it.
        labels: the names of their classes; None where unknown.
        read: an image by its sample's name, uint8 RGB of shape (H, W, 3), in any thread or process; instead
            of `root`.
        root: the folder of the image files.
        groups: samples of one group (a patient, say) stay in one split; None: a group of its own.
        splits: `train`, `val` or `test`; None: chosen by transferlab.
        max_pixels: larger files count as broken.

    Raises:
        DataError: lists that do not fit together, a sample twice, or one that cannot be read.

    >>> black = np.zeros((8, 8, 3), np.uint8)
    >>> make_catalog(["1", "2"], ["cat", "dog"], read=lambda sample: black).classes
    ('cat', 'dog')
    """
    samples = list(map(str, samples))
    columns = {"labels": labels, "groups": groups, "splits": splits}
    lists = {name: None if column is None else list(column) for name, column in columns.items()}
    for name, column in lists.items():
        if column is not None and len(column) != len(samples):
            raise DataError(
                f"make_catalog: {len(column)} {name} for {len(samples)} samples. Fix: give one per sample."
            )
    if not samples:
        raise DataError("make_catalog: there are no samples. Fix: look where they are listed.")
    if double := [name for name, count in Counter(samples).items() if count > 1]:
        raise DataError(
            f"make_catalog: {some(double)} come more than once in samples. Fix: give each its own name."
        )
    wrong = [split for split in lists["splits"] or [] if split is not None and split not in SPLIT_NAMES]
    if wrong:
        raise DataError(f"make_catalog: splits has {some(set(wrong))}. Fix: use train, val, test or None.")
    if (read is None) == (root is None):
        raise DataError("make_catalog: give one of the two, `read` or `root`.")
    names = [None if label is None else str(label) for label in lists["labels"] or []]
    classes = ordered_classes([name for name in names if name is not None])
    codes = {name: code for code, name in enumerate(classes)}
    numbers = [codes.get(name) if name else None for name in names]
    reader: OwnReader | FileReader
    if read is not None:
        reader = OwnReader(read)
        contents = [reader.content_hash(sample) for sample in samples]
    else:
        folder = Path(str(root)).expanduser().resolve()
        reader, contents = FileReader(folder, max_pixels=max_pixels), hash_files(folder, samples)
    table = catalog_table(samples, numbers, contents, "own", lists["groups"], lists["splits"])
    alone = f"make_catalog: every label is {some(classes)}. Telling classes apart takes two or more."
    return Catalog(table, classes, reader, problems=(alone,) if len(classes) == 1 else ())


class OwnReader:
    """Images by a function of the user's; one that gives no image is an error that names the sample."""

    in_memory = False

    def __init__(self, read: Read) -> None:
        self.read = read

    def __call__(self, sample: str) -> np.ndarray:
        try:
            image = self.read(sample)
        except Exception as error:
            where = getattr(self.read, "__module__", "")
            raise DataError(f"read({sample!r}): {described(error, where)}. Fix: correct its code.") from error
        shape, kind = getattr(image, "shape", ()), getattr(image, "dtype", type(image).__name__)
        if (
            not isinstance(image, np.ndarray)
            or kind != np.uint8
            or len(shape) != 3
            or shape[2] != 3
            or 0 in shape
        ):
            raise DataError(
                f"read({sample!r}) gives {kind} of shape {tuple(shape)}, not an array of uint8 of shape "
                "(H, W, 3). Fix: scale it to 0..255 and convert it to RGB."
            )
        return np.require(image, requirements=["C", "W"])  # as torch takes it

    def content_hash(self, sample: str) -> str:
        """A hash of its pixels and shape."""
        image = self(sample)
        return content_hash(str(image.shape).encode() + image.tobytes())


def load(source: CatalogSource) -> Catalog:
    """The catalog of a source, which may be a class of the user's own.

    Raises:
        DataError: what the source says is wrong, its code fails, or what it gives is no catalog.
    """
    module, name = type(source).__module__, f"{type(source).__module__}.{type(source).__qualname__}"
    try:
        catalog = source.load()
    except UserError:
        raise
    except Exception as error:
        if module.startswith("transferlab."):
            raise
        raise DataError(f"{name}.load(): {described(error, module)}. Fix: correct its code.") from error
    is_catalog = isinstance(catalog, Catalog)
    if not is_catalog or not {*COLUMNS, "content"} <= set(catalog.table.columns):
        what = "a table without all columns" if is_catalog else type(catalog).__name__
        raise DataError(f"{name}.load() gives {what}, not a Catalog. Fix: return make_catalog(...).")
    return catalog
