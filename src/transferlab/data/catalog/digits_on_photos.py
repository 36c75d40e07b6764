"""A second domain made from the digits: each blended onto a patch of a photo, as MNIST-M was made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from transferlab.config.bounds import Probability
from transferlab.data.catalog.catalog import Catalog, catalog_table
from transferlab.data.catalog.digits import CLASSES, scanned_digits
from transferlab.data.image.reader import ArrayReader, content_hash
from transferlab.run.randomness import derived_seed

SIZE = 32


@dataclass(frozen=True, kw_only=True)
class DigitsOnPhotos:
    """|weight x photo patch - digit|, 32x32 RGB, patches from scikit-learn's two sample photos.

    Ganin et al. (2016), Domain-Adversarial Training of Neural Networks, section 5.2.4.
    Samples carry the names of their digits, so both domains split alike.

    `conf/data/catalog/digits_on_photos.yaml` describes the arguments.
    """

    min_contrast: Probability = 0.4
    max_contrast: Probability = 1.0
    patch_seed: int = 0

    def load(self) -> Catalog:
        digits, labels = scanned_digits()
        samples = [f"{row:04d}" for row in range(len(labels))]
        contrast = (self.min_contrast, self.max_contrast)
        made_of = f"{contrast} {self.patch_seed} "
        contents = [content_hash(made_of.encode() + digit.tobytes()) for digit in digits]
        return Catalog(
            table=catalog_table(samples, labels.tolist(), contents, domain="digits_on_photos"),
            classes=CLASSES,
            reader=ArrayReader(
                samples, lambda: blend_digits(digits, contrast=contrast, patch_seed=self.patch_seed)
            ),
        )


def blend_digits(digits_NHW: np.ndarray, *, contrast: tuple[float, float], patch_seed: int) -> np.ndarray:
    """Digits (uint8) on patches of the sample photos: uint8, shape (N, 32, 32, 3).

    `contrast` bounds the weight of the photo.
    """
    from sklearn.datasets import load_sample_images

    photos = load_sample_images().images
    blended = np.empty((len(digits_NHW), SIZE, SIZE, 3), np.uint8)
    for row, digit in enumerate(digits_NHW):
        rng = np.random.default_rng(derived_seed("patch", patch_seed, row))
        photo = photos[rng.integers(len(photos))]
        top, left = (int(rng.integers(length - SIZE + 1)) for length in photo.shape[:2])
        patch = photo[top : top + SIZE, left : left + SIZE].astype(np.float64)
        strokes = np.asarray(Image.fromarray(digit).resize((SIZE, SIZE), Image.Resampling.BILINEAR))
        blended[row] = np.rint(np.abs(rng.uniform(*contrast) * patch - strokes[..., None]))
    return blended
