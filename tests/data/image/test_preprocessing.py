from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data.transforms_factory import create_transform

from transferlab.data.image.preprocessing import Preprocessing

PHOTO = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("crop_pct", [1.0, 0.875, 0.95])
@pytest.mark.parametrize("size", [24, 56, 96])
def test_evaluation_is_timms(interpolation, crop_pct, size):
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    ours = Preprocessing(size, mean, std, interpolation, crop_pct)
    image = ours.evaluated(torch.from_numpy(PHOTO).permute(2, 0, 1))
    assert image.dtype == torch.uint8
    timms = create_transform(
        (3, size, size), interpolation=interpolation, mean=mean, std=std, crop_pct=crop_pct
    )
    expected = timms(Image.fromarray(PHOTO))
    difference = (ours.normalised(image[None])[0] - expected).abs() * 255 * 0.225
    assert difference.max() < 2.1  # grey levels: Pillow and torch round differently
    assert difference.mean() < 0.2


def test_normalised():
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    values = Preprocessing(1, mean=(0.5, 0.1, 0.0), std=(0.5, 0.2, 1.0)).normalised(images)
    assert values.dtype == torch.float32
    torch.testing.assert_close(values.flatten(), torch.tensor([-1.0, 0.5, 1.0]))
    assert images.dtype == torch.uint8
    assert images.flatten().tolist() == [0, 51, 255]


def test_a_very_long_image_takes_little_memory():
    image = torch.zeros(3, 1, 30_000, dtype=torch.uint8)
    image[:, :, 14_990:15_010] = 200
    prepared = Preprocessing(image_size=224).evaluated(image)
    assert prepared.shape == (3, 224, 224)
    assert (prepared == 200).all()
