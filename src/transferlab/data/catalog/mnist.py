"""MNIST, 70,000 handwritten digits with their own training and test splits, and other .npz files like it.

Arrays come from an .npz file or from the four idx files and are checked before anything is made of them.
"""

from __future__ import annotations

import gzip
import math
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from transferlab.data.catalog.catalog import Catalog, catalog_table
from transferlab.data.catalog.names import SPLIT_NAMES, split_of
from transferlab.data.data_error import DataError, some
from transferlab.data.image.reader import ArrayReader, content_hash

NUM_IMAGES = {"train": 60_000, "test": 10_000}
SIDE_PX = 28
NPZ_NAME = "mnist.npz"
_KEYS_OF_TRAIN = ("x_train", "y_train")
IDX_STEMS = {"train": ("train-images", "train-labels"), "test": ("t10k-images", "t10k-labels")}
IDX_ENDINGS = ("-idx{}-ubyte", ".idx{}-ubyte")  # as LeCun named them, and as some archives unpack
IDX_FOLDERS = (".", "raw", "MNIST/raw")  # the last one is torchvision's
MOST_BYTES = 2**30
_AGAIN = "Download it again."


class LabelledDigits(NamedTuple):
    """Images, uint8 (N, H, W) or RGB (N, H, W, 3), and labels, int64 (N,), at least 0."""

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class MNIST:
    """White strokes on black, 28x28 pixels, grey repeated to RGB; samples are called `train/00000`.

    LeCun et al. (1998), Gradient-Based Learning Applied to Document Recognition.
    An .npz file of another data set is read as it is: images of any size, grey or RGB; the classes that its
    labels have; its validation split.
    `conf/data/catalog/mnist.yaml` describes the argument.
    """

    root: str | None

    def load(self) -> Catalog:
        splits = read_arrays(self.root)
        contents = [content_hash(image.tobytes()) for split in splits.values() for image in split.images]
        return mnist_catalog(self.root, splits, contents, "mnist", lambda: _as_rgb(splits))


def names_in_splits(splits: Mapping[str, LabelledDigits]) -> list[str]:
    """The samples' names, in MNIST's own order: its splits one after the other."""
    return [f"{name}/{row:05d}" for name, split in splits.items() for row in range(len(split.labels))]


def mnist_catalog(
    root: str | None,
    splits: Mapping[str, LabelledDigits],
    contents: Sequence[str],
    domain: str,
    images: Callable[[], np.ndarray],
) -> Catalog:
    """Samples, labels and splits with these contents and images; a val that is missing is carved later."""
    samples = names_in_splits(splits)
    labels = np.concatenate([split.labels for split in splits.values()])
    values, codes = np.unique(labels, return_inverse=True)
    names = [name for name, split in splits.items() for _ in split.labels]
    alone = f"data.root={root} has label {values[0]} only. Telling classes apart takes two or more."
    return Catalog(
        table=catalog_table(samples, codes.tolist(), contents, domain, splits=names),
        classes=tuple(map(str, values.tolist())),
        reader=ArrayReader(samples, images),
        notes=_notes_on_size(splits, root),
        problems=(alone,) if len(values) == 1 else (),
    )


def _notes_on_size(splits: Mapping[str, LabelledDigits], root: str | None) -> tuple[str, ...]:
    """Sentences where there are other images than MNIST has."""
    found = {name: len(split.labels) for name, split in splits.items()}
    notes: tuple[str, ...] = ()
    height, width = splits["train"].images.shape[1:3]
    if (height, width) != (SIDE_PX, SIDE_PX):
        notes = (
            f"data.root={root} holds images of {width}x{height} pixels; they are scaled to "
            f"data.image_size, which data=mnist sets to {SIDE_PX}.",
        )
    if found == NUM_IMAGES:
        return notes
    held, has = (
        " and ".join(f"{num:,} {name}" for name, num in counts.items()) for counts in (found, NUM_IMAGES)
    )
    return (f"data.root={root} holds {held} images, where MNIST has {has}.", *notes)


def _as_rgb(splits: Mapping[str, LabelledDigits]) -> np.ndarray:
    images = np.concatenate([split.images for split in splits.values()])
    return images if images.ndim == 4 else np.repeat(images[..., None], 3, axis=3)


def read_mnist(root: str | None) -> dict[str, LabelledDigits]:
    """The splits `train` and `test` of digits, 28x28 pixels; like `read_arrays`, but nothing else will do."""
    splits = read_arrays(root)
    for name, split in splits.items():
        if split.images.shape[1:] != (SIDE_PX, SIDE_PX):
            raise DataError(
                f"data.root={root}: images of {name} have the shape {split.images.shape[1:]}: digits have "
                f"({SIDE_PX}, {SIDE_PX})."
            )
        if split.labels.max() > 9:
            raise DataError(
                f"data.root={root}: the labels of {name} go up to {split.labels.max()}: digits have 0 to 9."
            )
    if "test" not in splits or "val" in splits:
        raise DataError(f"data.root={root} holds {some(splits)}: MNIST has train and test.")
    return splits


def read_arrays(root: str | None) -> dict[str, LabelledDigits]:
    """The splits train and, as far as there are such, val and test; shared arrays, which nobody may write to.

    Args:
        root: an .npz file with x_train and y_train, perhaps with x_val, y_val, x_test and y_test; or a folder
            with `mnist.npz` or with the four idx files, compressed (.gz) or not, in it or where torchvision
            puts them (`MNIST/raw`).

    Raises:
        DataError: a file is missing, broken, or does not hold what it should.
    """
    files = _files(root)
    return _read(files, tuple(file.stat().st_mtime_ns for file in files))


def _files(root: str | None) -> tuple[Path, ...]:
    """The .npz file, or the idx files: images and labels of train, then of test."""
    if not root:
        raise DataError(
            "data.root has no value. Set it to mnist.npz, or to the folder of MNIST's idx files: "
            "data.root=PATH."
        )
    path = Path(root).expanduser()
    if path.is_file():
        return (path.resolve(),)
    if not path.is_dir():
        raise DataError(f"data.root={root} does not exist (looked for {path.absolute()}).")
    if (path / NPZ_NAME).is_file():
        return ((path / NPZ_NAME).resolve(),)
    stems = [stem for pair in IDX_STEMS.values() for stem in pair]
    for folder in (path / name for name in IDX_FOLDERS):
        found = [_idx_file(folder, stem) for stem in stems]
        missing = [_idx_names(stem)[0] for stem, file in zip(stems, found, strict=True) if file is None]
        if not missing:
            return tuple(file.resolve() for file in found if file is not None)
        if len(missing) < len(stems):
            raise DataError(f"{folder.resolve()} lacks {some(missing)} (or the same with .gz).")
    raise DataError(
        f"data.root={root} holds neither {NPZ_NAME} nor MNIST's idx files "
        f"({', '.join(_idx_names(stem)[0] for stem in stems)}; each may end in .gz)."
    )


def _idx_names(stem: str) -> list[str]:
    dimensions = 3 if stem.endswith("images") else 1
    return [stem + ending.format(dimensions) for ending in IDX_ENDINGS]


def _idx_file(folder: Path, stem: str) -> Path | None:
    candidates = (folder / f"{name}{gz}" for name in _idx_names(stem) for gz in ("", ".gz"))
    return next((file for file in candidates if file.is_file()), None)


@lru_cache(maxsize=2)
def _read(files: tuple[Path, ...], modified_ns: tuple[int, ...]) -> dict[str, LabelledDigits]:
    """Cached: source and target read the same file; `modified_ns` so that a replaced file is read again."""
    if len(files) == 1:
        named = read_npz(files[0])
    else:
        read = [(str(file), read_idx(file)) for file in files]
        named = {"train": read[:2], "test": read[2:]}
    splits = {split: _checked(*images, *labels) for split, (images, labels) in named.items()}
    shapes = {split: digits.images.shape[1:] for split, digits in splits.items()}
    if len(set(shapes.values())) > 1:
        sizes = ", ".join(f"{split} {shape}" for split, shape in shapes.items())
        raise DataError(f"{files[0]}: images of its splits have different shapes: {sizes}.")
    return splits


def read_npz(file: Path) -> dict[str, list[tuple[str, np.ndarray]]]:
    """Images and labels of each split, each with the place that they are from; raises `DataError`."""
    if not zipfile.is_zipfile(file):
        raise DataError(f"{file} is no .npz file, or its end is missing. {_AGAIN}")
    try:
        with np.load(file, allow_pickle=False) as stored:
            held = list(stored.files)
            pairs = _pairs(file, held)
            return {split: [(f"{file}, {key}", stored[key]) for key in keys] for split, keys in pairs.items()}
    except DataError:
        raise
    except (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise DataError(f"{file} cannot be read as .npz ({error}). {_AGAIN}") from None


def _pairs(file: Path, held: list[str]) -> dict[str, tuple[str, str]]:
    """The arrays of images and of labels of each split that a file has, by the names that `held` has."""
    pairs: dict[str, tuple[str, str]] = {}
    for key in sorted(held):
        split = split_of(key[len("x_") :]) if key.startswith("x_") else None
        if split in pairs:
            raise DataError(f"{file}: {pairs[str(split)][0]} and {key} could each be the {split} split.")
        if split is not None:
            pairs[split] = (key, f"y_{key[len('x_') :]}")
    missing = [labels for _, labels in pairs.values() if labels not in held]
    if "train" not in pairs:
        missing = [*_KEYS_OF_TRAIN, *missing]
    if missing:
        raise DataError(
            f"{file} lacks the array {some(missing)}. It holds {some(held, 10)}. It should hold x_train "
            "(images) and y_train (labels), and may hold x_val, y_val, x_test and y_test."
        )
    return {split: pairs[split] for split in SPLIT_NAMES if split in pairs}


def read_idx(file: Path) -> np.ndarray:
    """The array of an idx file of bytes, compressed or not.

    Two zero bytes, the type (8: unsigned bytes), the number of dimensions, each dimension as a big-endian
    32-bit number, the values in C order (LeCun, Cortes & Burges, The MNIST database).

    Raises:
        DataError: the file is not such a one, or shorter or longer than it says.
    """
    try:
        with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as stream:
            magic = stream.read(4)
            if len(magic) < 4 or magic[:3] != b"\x00\x00\x08" or magic[3] not in (1, 2, 3):
                raise DataError(f"{file} is no idx file of bytes (it begins with {magic!r}). {_AGAIN}")
            shape = struct.unpack(f">{magic[3]}I", stream.read(4 * magic[3]))
            num_bytes = math.prod(shape)
            content = stream.read(num_bytes + 1) if num_bytes < MOST_BYTES else b""
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise DataError(f"{file} is broken ({error}). {_AGAIN}") from None
    if len(content) != num_bytes:
        held = "more" if len(content) > num_bytes else f"{len(content)}"
        raise DataError(
            f"{file} should hold {num_bytes} values, of shape {shape}, but holds {held}. {_AGAIN}"
        )
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def _checked(images_from: str, images: np.ndarray, labels_from: str, labels: np.ndarray) -> LabelledDigits:
    """A split of the right shapes, types and ranges; raises `DataError`."""
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] != 3) or 0 in images.shape:
        raise DataError(
            f"{images_from} has the shape {images.shape}: it must be (N, H, W) or, in RGB, (N, H, W, 3)."
        )
    if labels.ndim != 1 or len(labels) != len(images):
        raise DataError(
            f"{labels_from} has the shape {labels.shape}: it must be ({len(images)},), "
            f"a label for each image of {images_from}."
        )
    for place, values, most in ((images_from, images, 255), (labels_from, labels, None)):
        rule = "at least 0" if most is None else f"from 0 to {most}"
        if values.dtype.kind not in "iuf":
            raise DataError(f"{place} holds {values.dtype}: it must hold whole numbers {rule}.")
        low, high = values.min(), values.max()
        if values.dtype.kind == "f" or low < 0 or (most is not None and high > most):
            raise DataError(
                f"{place} holds {values.dtype} from {low} to {high}: it must hold whole numbers {rule}."
            )
    if images.max() <= 1:
        raise DataError(
            f"{images_from} holds no value above 1: pixels must be from 0 to 255, not from 0 to 1."
        )
    return LabelledDigits(images.astype(np.uint8, copy=False), labels.astype(np.int64))
