from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from transferlab.data.catalog.digits import Digits
from transferlab.data.catalog.digits_on_photos import DigitsOnPhotos, blend_digits


def test_digits_are_scikit_learns():
    catalog = Digits().load()
    bunch = load_digits()
    assert len(catalog) == 1797
    assert catalog.table["label"].tolist() == bunch.target.tolist()
    image = catalog.reader(catalog.samples[3])
    assert image.shape == (8, 8, 3)
    assert image.dtype == np.uint8
    np.testing.assert_allclose(image[..., 1], bunch.images[3] / 16 * 255, atol=0.5)


def test_digits_on_photos_blend():
    black, white = np.zeros((2, 8, 8), np.uint8), np.full((2, 8, 8), 255, np.uint8)
    photo = blend_digits(black, contrast=(1.0, 1.0), patch_seed=0).astype(int)
    assert photo.std() > 1
    assert not np.array_equal(photo[0], photo[1])
    np.testing.assert_array_equal(blend_digits(white, contrast=(1.0, 1.0), patch_seed=0), 255 - photo)
    np.testing.assert_allclose(blend_digits(black, contrast=(0.5, 0.5), patch_seed=0), photo / 2, atol=0.51)
    np.testing.assert_array_equal(blend_digits(white, contrast=(0.0, 0.0), patch_seed=0), 255)


def test_both_domains_name_digits_alike():
    plain, blended = Digits().load(), DigitsOnPhotos().load()
    assert plain.samples == blended.samples
    assert plain.table["label"].equals(blended.table["label"])
    assert plain.fingerprint() != blended.fingerprint()
    assert blended.fingerprint() != DigitsOnPhotos(max_contrast=0.5).load().fingerprint()
    assert blended.reader("0000").shape == (32, 32, 3)
