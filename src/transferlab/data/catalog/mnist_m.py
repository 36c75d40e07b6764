"""MNIST-M: MNIST's digits blended with patches of photos, made from both when they are first needed."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from transferlab.config.bounds import AtLeast, PositiveInt
from transferlab.data.catalog.catalog import Catalog
from transferlab.data.catalog.mnist import (
    SIDE_PX,
    LabelledDigits,
    mnist_catalog,
    names_in_splits,
    read_mnist,
)
from transferlab.data.catalog.walking import from_root, is_image, walk_files
from transferlab.data.data_error import DataError
from transferlab.data.image.decoding import BadImage, decode_file
from transferlab.data.image.reader import content_hash
from transferlab.data.loading.workers import usable_cores
from transferlab.run.randomness import derived_seed

MAX_PIXELS = 100_000_000


@dataclass(frozen=True)
class MNISTM:
    """|photo patch - digit| in each channel of 28x28 RGB: strokes invert the colours of the photo.

    Ganin & Lempitsky (2015), Unsupervised Domain Adaptation by Backpropagation, section 4; they cut patches
    of 28x28 pixels from the photos of BSDS500 (481x321 pixels). Samples carry the names of their digits, so
    MNIST and MNIST-M split alike. `conf/data/catalog/mnist_m.yaml` describes the arguments.
    """

    root: str | None
    _: KW_ONLY
    photos: str | None
    num_photos: PositiveInt | None = 500
    photo_px: Annotated[int, AtLeast(SIDE_PX)] | None = 321
    patch_seed: int = 0

    def load(self) -> Catalog:
        splits = read_mnist(self.root)
        files = find_photos(self.photos, most=self.num_photos, seed=self.patch_seed)
        digits = (image for split in splits.values() for image in split.images)
        made_of = self._made_of(files)
        contents = [
            content_hash(f"{made_of} {sample} ".encode() + digit.tobytes())
            for sample, digit in zip(names_in_splits(splits), digits, strict=True)
        ]
        return mnist_catalog(self.root, splits, contents, "mnist_m", lambda: self._blend(splits, files))

    def _made_of(self, files: list[Path]) -> str:
        """All that an image depends on besides its digit and its name, wherever the photos lie."""
        try:
            photos = " ".join(content_hash(file.read_bytes()) for file in files)
        except OSError as error:
            raise DataError(f"{error.filename} cannot be read: {error.strerror}.") from None
        return content_hash(f"mnist_m 1 {self.photo_px} {self.patch_seed} {photos}".encode())

    def _blend(self, splits: Mapping[str, LabelledDigits], files: list[Path]) -> np.ndarray:
        """All images, uint8 (N, 28, 28, 3); one photo a core is in memory at a time."""
        digits_NHW = np.concatenate([split.images for split in splits.values()])
        places_N3 = np.concatenate(
            [patch_places(len(split.labels), name, self.patch_seed) for name, split in splits.items()]
        )
        photo_N = (places_N3[:, 0] * len(files)).astype(np.int64)
        blended_NHWC = np.empty((*digits_NHW.shape, 3), np.uint8)

        def of_photo(number: int) -> None:
            rows = np.flatnonzero(photo_N == number)
            photo = read_photo(files[number], short_side_px=self.photo_px, patch_px=SIDE_PX)
            blended_NHWC[rows] = blend(digits_NHW[rows], photo, places_N3[rows, 1:])

        with ThreadPoolExecutor(usable_cores()) as pool:
            for _ in pool.map(of_photo, np.unique(photo_N).tolist()):
                pass
        return blended_NHWC


def patch_places(num: int, split: str, seed: int) -> np.ndarray:
    """Number of the photo, how far down and how far right, each in [0, 1), float64 (num, 3).

    Row i depends on (seed, split, i) alone, not on how many there are.
    """
    return np.random.default_rng(derived_seed("patch", seed, split)).random((num, 3))


def blend(digits_NHW: np.ndarray, photo_HWC: np.ndarray, places_N2: np.ndarray) -> np.ndarray:
    """|patch - digit| with a patch of the photo (uint8) for each digit (uint8): uint8 (N, H, W, 3).

    `places_N2` is how far down and right a patch begins, in [0, 1), where 1 is past the last place that fits.
    """
    windows = sliding_window_view(photo_HWC, digits_NHW.shape[1:], axis=(0, 1))
    top_N, left_N = (places_N2 * windows.shape[:2]).astype(np.int64).T
    patches_NHWC = windows[top_N, left_N].transpose(0, 2, 3, 1)
    digits_NHW1 = digits_NHW[..., None]
    return np.maximum(patches_NHWC, digits_NHW1) - np.minimum(patches_NHWC, digits_NHW1)


def find_photos(folder: str | None, *, most: int | None, seed: int) -> list[Path]:
    """The image files at any depth of a folder, in the order of their paths; hidden ones are passed over.

    Where there are more than `most`, a choice that depends on (seed, path within the folder) alone.

    Raises:
        DataError: there is no such folder, or no image in it.
    """
    if not folder:
        raise DataError(
            "data.target.photos has no value. Set it to a folder of photos: data.target.photos=DIR."
        )
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise DataError(f"data.target.photos={folder} is no folder (looked for {root.absolute()}).")
    root = root.resolve()
    files = {
        from_root(entry, root): Path(entry.path) for entry in walk_files(root, root) if is_image(entry.name)
    }
    if not files:
        raise DataError(f"data.target.photos={folder} holds no images, at any depth.")
    chosen = sorted(files, key=lambda name: derived_seed("photo", seed, name))[:most]
    return [files[name] for name in sorted(chosen)]


def read_photo(file: Path, *, short_side_px: int | None, patch_px: int) -> np.ndarray:
    """A photo as uint8 RGB, shape (H, W, 3), its short side reduced to `short_side_px` if it is longer.

    Reduced by Pillow's antialiased bilinear filter, whose whole-number arithmetic is the same on every
    processor. Photos are never enlarged.

    Raises:
        DataError: it cannot be read, or a patch of `patch_px` does not fit into it.
    """
    try:
        pixels = decode_file(file, max_pixels=MAX_PIXELS)
    except BadImage as error:
        raise DataError(f"{file}: {error}. Replace it, or move it out of the folder of photos.") from None
    height, width = pixels.shape[:2]
    if short_side_px is not None and min(height, width) > short_side_px:
        scale = short_side_px / min(height, width)
        size = (max(round(width * scale), short_side_px), max(round(height * scale), short_side_px))
        pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
        height, width = pixels.shape[:2]
    if min(height, width) < patch_px:
        raise DataError(
            f"{file} has {width}x{height} pixels, but patches have {patch_px}x{patch_px}. "
            "Move it out of the folder of photos."
        )
    return pixels
