"""MNIST-M: MNIST's digits blended with patches of photos, made from both when they are first needed."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from transferlab.config.bounds import AtLeast, PositiveInt
from transferlab.data.catalog.catalog import Catalog
from transferlab.data.catalog.digits import CLASSES
from transferlab.data.catalog.mnist import mnist_samples, mnist_table, size_notices
from transferlab.data.catalog.mnist_files import SIDE_PX, LabelledDigits, read_mnist
from transferlab.data.catalog.photo_folder import find_photos, read_photo
from transferlab.data.data_error import DataError
from transferlab.data.image.reader import ArrayReader, content_hash
from transferlab.data.loading.workers import usable_cores
from transferlab.run.randomness import derived_seed


class MNISTM:
    """|photo patch - digit| in each channel of 28x28 RGB: strokes invert the colours of the photo.

    Ganin & Lempitsky (2015), Unsupervised Domain Adaptation by Backpropagation, section 4; they cut patches
    of 28x28 pixels from the photos of BSDS500 (481x321 pixels). Samples carry the names of their digits, so
    MNIST and MNIST-M split alike.

    Args:
        root: MNIST, as for `MNIST`.
        photos: a folder of photos, searched to any depth.
        num_photos: how many of them are used, chosen by `patch_seed`; None = all.
        photo_px: a photo whose short side is longer is reduced to this, so that a patch shows as much as in
            the paper; None = patches are cut at full size. Smaller photos stay as they are.
        patch_seed: chooses each digit's patch: sample i of a split has the same in every run.
    """

    def __init__(
        self,
        root: str | None,
        *,
        photos: str | None,
        num_photos: PositiveInt | None = 500,
        photo_px: Annotated[int, AtLeast(SIDE_PX)] | None = 321,
        patch_seed: int = 0,
    ) -> None:
        self.root = root
        self.photos = photos
        self.num_photos = num_photos
        self.photo_px = photo_px
        self.patch_seed = patch_seed

    def load(self) -> Catalog:
        splits = read_mnist(self.root)
        files = find_photos(self.photos, most=self.num_photos, seed=self.patch_seed)
        samples = mnist_samples(splits)
        digits = (image for split in splits.values() for image in split.images)
        made_of = self._made_of(files)
        contents = [
            content_hash(f"{made_of} {sample} ".encode() + digit.tobytes())
            for sample, digit in zip(samples, digits, strict=True)
        ]
        return Catalog(
            table=mnist_table(splits, samples, contents, domain="mnist_m"),
            classes=CLASSES,
            reader=ArrayReader(samples, lambda: self._blend(splits, files)),
            notices=size_notices(splits, self.root),
        )

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
    """Which photo, how far down and how far right, each in [0, 1), float64 (num, 3).

    Row i depends on (seed, split, i) alone, not on how many there are.
    """
    return np.random.default_rng(derived_seed("patch", seed, split)).random((num, 3))


def blend(digits_NHW: np.ndarray, photo_HWC: np.ndarray, places_N2: np.ndarray) -> np.ndarray:
    """|patch - digit| with a patch of the photo for each digit, uint8 (N, H, W, 3).

    Args:
        digits_NHW: uint8.
        photo_HWC: uint8, at least as large as a digit.
        places_N2: how far down and right a patch begins, in [0, 1), where 1 is past the last place that fits.
    """
    windows = sliding_window_view(photo_HWC, digits_NHW.shape[1:], axis=(0, 1))
    top_N, left_N = (places_N2 * windows.shape[:2]).astype(np.int64).T
    patches_NHWC = windows[top_N, left_N].transpose(0, 2, 3, 1)
    digits_NHW1 = digits_NHW[..., None]
    return np.maximum(patches_NHWC, digits_NHW1) - np.minimum(patches_NHWC, digits_NHW1)
