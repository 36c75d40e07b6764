"""A catalog of the user's own: `make_catalog` makes one, `load` refuses what is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np

from transferlab.config.instantiation import described
from transferlab.data.catalog.catalog import COLUMNS, Catalog, CatalogSource, catalog_table
from transferlab.data.catalog.names import SPLIT_NAMES, class_name, notes_on_names, ordered_classes
from transferlab.data.data_error import DataError, some
from transferlab.data.image.file_facts import hash_files
from transferlab.data.image.reader import FileReader, content_hash
from transferlab.run.errors import UserError
from transferlab.run.printable import printable

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
        samples: their names, all different; paths of image files below `root`.
        labels: names of classes; None where unknown.
        read: instead of `root`: a sample's image, uint8 RGB (H, W, 3); called in any thread and process.
        root: folder of the image files.
        groups: samples of one group (a patient, say) stay in one split; None: a group of its own.
        splits: `train`, `val` or `test`; None: chosen by transferlab.
        max_pixels: larger files count as broken.

    Raises:
        DataError: lists that do not fit together, a sample twice, or one that cannot be read.

    >>> black = np.zeros((8, 8, 3), np.uint8)
    >>> make_catalog(["1", "2"], ["cat", "dog"], read=lambda sample: black).classes
    ('cat', 'dog')
    """
    samples, columns = list(map(str, samples)), {"labels": labels, "groups": groups, "splits": splits}
    for name, column in columns.items():
        if column is not None and len(column) != len(samples):
            _refuse(f"{len(column)} {name} for {len(samples)} samples", "give one per sample")
    if not samples:
        _refuse("there are no samples", "look where they are listed")
    if double := [name for name, count in Counter(samples).items() if count > 1]:
        _refuse(f"samples come more than once: {some(double)}", "give each a name of its own")
    if odd := [name for name in samples if printable(name) != name]:
        _refuse(f"samples have control characters or bytes that are no UTF-8: {some(odd)}", "rename them")
    if wrong := {str(split) for split in splits or () if split is not None and split not in SPLIT_NAMES}:
        _refuse(f"splits holds {some(wrong)}", "use train, val, test or None")
    if (read is None) == (root is None):
        _refuse("it takes `read` or `root`", "give one of the two")
    written = {label: class_name(str(label)) for label in set(labels) if label is not None}
    names = ["" if label is None else written[label] for label in labels]
    classes = ordered_classes(names)
    codes = {name: code for code, name in enumerate(classes)}
    reader: OwnReader | FileReader
    if read is not None:
        reader = OwnReader(read)
        contents = [
            content_hash(repr(image.shape).encode() + image.tobytes()) for image in map(reader, samples)
        ]
    else:
        folder = Path(str(root)).expanduser().resolve()
        reader = FileReader(folder, max_pixels=max_pixels)
        contents = hash_files(folder, samples, max_pixels=max_pixels)
    table = catalog_table(samples, [codes.get(name) for name in names], contents, "own", groups, splits)
    alone = f"make_catalog: every label is {some(classes)}. Telling classes apart takes two or more."
    notes = notes_on_names(map(str, written), "make_catalog")
    return Catalog(table, classes, reader, tuple(notes), (alone,) if len(classes) == 1 else ())


def _refuse(problem: str, fix: str) -> NoReturn:
    raise DataError(f"make_catalog: {problem}. Fix: {fix}.")


class OwnReader:
    """Images by a function of the user's; one that gives no image is an error that names the sample."""

    in_memory = False

    def __init__(self, read: Read) -> None:
        self.read = read

    def __call__(self, sample: str) -> np.ndarray:
        try:
            image = self.read(sample)
        except Exception as error:
            text = described(error, getattr(self.read, "__module__", ""))
            raise DataError(f"read({sample!r}): {text}. Fix: correct its code.") from error
        shape, kind = getattr(image, "shape", ()), getattr(image, "dtype", type(image).__name__)
        if not isinstance(image, np.ndarray) or kind != np.uint8 or shape[2:] != (3,) or 0 in shape:
            raise DataError(
                f"read({sample!r}) gives {kind} of shape {tuple(shape)}, not an array of uint8 of shape "
                "(H, W, 3). Fix: scale it to 0..255 and convert it to RGB."
            )
        return np.require(image, requirements=["C", "W"])  # as torch takes it


def load(source: CatalogSource) -> Catalog:
    """The catalog of a source, shipped or a user's own; raises `DataError` where that does not give one."""
    module, name = type(source).__module__, f"{type(source).__module__}.{type(source).__qualname__}"
    try:
        catalog = source.load()
    except Exception as error:
        if isinstance(error, UserError) or module.startswith("transferlab."):
            raise
        raise DataError(f"{name}.load(): {described(error, module)}. Fix: correct its code.") from error
    if not isinstance(catalog, Catalog) or not {*COLUMNS, "content"} <= set(catalog.table.columns):
        found = type(catalog).__name__
        raise DataError(f"{name}.load() gives {found}, no whole Catalog. Fix: return make_catalog(...).")
    return catalog
