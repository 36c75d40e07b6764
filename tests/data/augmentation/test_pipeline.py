from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from transferlab.data.augmentation.pipeline import Augmentation, RandomCrop
from transferlab.data.image.preprocessing import Preprocessing
from transferlab.data.loading.dataset import seeded

PREPARED = Preprocessing(image_size=24, interpolation="bilinear")
PHOTO = torch.randint(0, 256, (3, 30, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def augmented(seed: int = 0, image: torch.Tensor = PHOTO, **options) -> torch.Tensor:
    with seeded(seed):
        return Augmentation(**options).build(PREPARED)(image)


def test_nothing_is_changed_by_default():
    assert not Augmentation().is_random
    assert torch.equal(augmented(), PREPARED.evaluated(PHOTO))


@pytest.mark.parametrize(
    "options",
    [
        {"min_crop_area": 0.3, "max_crop_ratio": 1.5},
        {"horizontal_flip": 0.5},
        {"vertical_flip": 0.5},
        {"rotation_degrees": 90.0},
        {"brightness": 0.5},
        {"contrast": 0.5},
        {"saturation": 0.5},
        {"hue": 0.3},
        {"policy": "trivial"},
        {"policy": "rand"},
    ],
)
def test_each_option_is_random_and_a_function_of_the_seed(options):
    assert Augmentation(**options).is_random
    seen = [augmented(seed, **options) for seed in range(12)]
    assert all(image.shape == (3, 24, 24) and image.dtype == torch.uint8 for image in seen)
    assert len({image.numpy().tobytes() for image in seen}) > 1
    assert torch.equal(seen[3], augmented(3, **options))


def test_flips_are_flips():
    plain = augmented()
    assert torch.equal(augmented(horizontal_flip=1.0), plain.flip(-1))
    assert torch.equal(augmented(vertical_flip=1.0), plain.flip(-2))


def torchvisions(size: int, interpolation: str) -> v2.Compose:
    mode = v2.InterpolationMode(interpolation)
    return v2.Compose(
        [
            v2.RandomResizedCrop(size, (0.3, 1.0), (0.5, 2.0), mode, antialias=True),
            v2.RandomHorizontalFlip(0.5),
            v2.RandomVerticalFlip(0.5),
        ]
    )


def both(seed: int, image: torch.Tensor, size: int, interpolation: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Our crop and flips, and torchvision's, of one seed."""
    ours = Augmentation(min_crop_area=0.3, max_crop_ratio=2.0, horizontal_flip=0.5, vertical_flip=0.5)
    transform = ours.build(Preprocessing(image_size=size, interpolation=interpolation))
    with seeded(seed):
        expected = torchvisions(size, interpolation)(image)
    with seeded(seed):
        return transform(image.permute(1, 2, 0).contiguous().permute(2, 0, 1)), expected


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
def test_crops_that_shrink_much_and_flips_are_torchvisions(interpolation):
    image = torch.randint(0, 256, (3, 80, 90), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for seed in range(40):
        crop, expected = both(seed, image, 12, interpolation)
        # of noise: another box or weight would be tens of grey levels off. One level is what kernels that a
        # processor does not have for each layout of memory may round the other way.
        assert (crop.int() - expected.int()).abs().max() <= (interpolation != "nearest")


def test_other_crops_are_nearly_torchvisions():
    """On something smooth, as photos are; both draw the same boxes."""
    rows, columns = torch.meshgrid(torch.arange(120), torch.arange(100), indexing="ij")
    image = torch.stack([2 * rows, 2 * columns, (rows * columns / 60).long()]).to(torch.uint8)
    for seed in range(40):
        crop, expected = both(seed, image, 64, "bilinear")
        assert (crop.int() - expected.int()).abs().float().mean() < 0.6


def test_crops_have_the_asked_area_and_ratio():
    """A picture whose pixels are their coordinates shows what each crop covers."""
    rows, columns = torch.meshgrid(torch.arange(200), torch.arange(200), indexing="ij")
    picture = torch.stack([rows, columns, rows]).to(torch.uint8)
    areas, ratios = [], []
    for seed in range(200):
        image = augmented(seed, picture, min_crop_area=0.5, max_crop_ratio=1.25).int()
        height, width = (np.ptp(image[channel].numpy()) + 1 for channel in (0, 1))
        areas.append(height * width / 200**2)
        ratios.append(width / height)
    assert 0.42 < min(areas) < 0.56
    assert 0.9 < max(areas) <= 1
    assert 1 / 1.35 < min(ratios) < 0.9
    assert 1.1 < max(ratios) < 1.35


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (3, 2000)])
def test_extreme_sizes(size):
    image = torch.zeros(3, *size, dtype=torch.uint8)
    assert augmented(0, image, min_crop_area=0.3, max_crop_ratio=1.3333).shape == (3, 24, 24)
    assert augmented(0, image).shape == (3, 24, 24)


def ramp(height: int, width: int) -> torch.Tensor:
    """An image whose red tells the column and whose green tells the row, as shares of its size."""
    rows, columns = torch.meshgrid(
        torch.linspace(0, 255, height), torch.linspace(0, 255, width), indexing="ij"
    )
    return torch.stack([columns, rows, torch.zeros(height, width)]).round().to(torch.uint8)


def test_crops_of_a_shrunk_image_have_the_same_distribution():
    """The decoded cache keeps images at a shorter side of 256: crops are drawn as shares of the image."""
    build = Augmentation(min_crop_area=0.3, max_crop_ratio=1.3).build(Preprocessing(32))
    quartiles = []
    for image in (ramp(768, 1024), ramp(256, 342)):
        parts = []  # left, right, top, bottom as shares (of 255) of the image
        for seed in range(400):
            with seeded(seed):
                crop = build(image).float()
            columns, rows = crop[0].mean(0), crop[1].mean(1)
            parts.append((columns[0], columns[-1], rows[0], rows[-1]))
        quartiles.append(np.percentile(np.array(parts), [10, 25, 50, 75, 90], axis=0))
    assert np.abs(quartiles[0] - quartiles[1]).max() < 12  # 5 % of the image; 400 draws of each


@pytest.mark.parametrize("size", [(24, 24), (32, 20)])
def test_crops_of_a_squashed_image(size):
    """A crop of everything is what evaluation shows; smaller ones keep their ratio within that."""
    image = torch.arange(40 * 90).remainder(251).to(torch.uint8).view(1, 40, 90).repeat(3, 1, 1)
    prepared = Preprocessing(image_size=size, crop_mode="squash")
    whole = Augmentation(min_crop_area=0.999, max_crop_ratio=1.0).build(prepared)(image)
    assert whole.shape == (3, *size)
    drawn = RandomCrop(prepared, 0.3, 1.0)
    torch.manual_seed(0)
    for _ in range(50):
        rows, columns = drawn._drawn(image).shape[-2:]
        assert abs(rows / 40 - columns / 90) < 0.06  # the same share of both sides
        assert 0.25 <= rows * columns / (40 * 90) <= 1
