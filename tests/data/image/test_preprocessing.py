from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config

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


def pretrained_settings() -> list[tuple]:
    """The settings that differ among all of timm's pretrained weights."""
    settings = {}
    for name in timm.list_pretrained():
        known = resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
        settings[tuple(known[key] for key in ("input_size", "interpolation", "crop_pct", "crop_mode"))] = name
    return sorted(settings, key=str)


def test_evaluation_is_timms_for_all_pretrained_weights():
    settings = pretrained_settings()
    assert {mode for *_, mode in settings} == {"center", "squash", "border"}
    assert max(crop_pct for _, _, crop_pct, _ in settings) > 1
    assert any(height != width for (_, height, width), *_ in settings)
    shapes = [(60, 90), (91, 60), (301, 40), (33, 200), (75, 75), (700, 500)]
    for number, (input_size, interpolation, crop_pct, crop_mode) in enumerate(settings):
        height, width = shapes[number % len(shapes)]
        noise = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
        assert_is_timms(noise, input_size, interpolation, crop_pct, crop_mode)


@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
@pytest.mark.parametrize("crop_pct", [0.7, 1.0, 1.3])
@pytest.mark.parametrize("size", [(64, 64), (96, 64), (50, 81)])
@pytest.mark.parametrize("shape", [(40, 100), (131, 30), (64, 64), (7, 160), (300, 40)])
def test_evaluation_is_timms_in_every_mode(shape, size, crop_pct, crop_mode):
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert_is_timms(noise, (3, *size), "bicubic", crop_pct, crop_mode)


def assert_is_timms(pixels, input_size, interpolation, crop_pct, crop_mode) -> None:
    mean = (0.485, 0.456, 0.406)
    _, height, width = input_size
    side = height if height == width else (height, width)
    ours = Preprocessing(side, mean, (1.0, 1.0, 1.0), interpolation, crop_pct, crop_mode)
    timms = create_transform(
        input_size, interpolation=interpolation, crop_pct=crop_pct, crop_mode=crop_mode, mean=mean,
        normalize=False,
    )  # fmt: skip
    image = ours.evaluated(torch.from_numpy(pixels).permute(2, 0, 1))
    expected = timms(Image.fromarray(pixels))
    assert image.shape == expected.shape == input_size
    difference = (image.int() - expected.int()).abs().max()
    assert difference <= 2, (pixels.shape, input_size, interpolation, crop_pct, crop_mode)


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
