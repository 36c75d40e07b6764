"""Preprocessing: the size, crop and normalisation of a network's pretraining."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import v2

ImageTransform = Callable[[Tensor], Tensor]
"""uint8 RGB, shape (3, H, W), to uint8 RGB, shape (3, image_size, image_size)."""

INTERPOLATIONS = ("nearest", "bilinear", "bicubic")


@dataclass(frozen=True)
class Preprocessing:
    """Preparation of images for a network that takes squares of `image_size` pixels.

    `mean` and `std` are per channel, for pixels in 0..1. The centre crop keeps the share `crop_pct` of the
    resized short side.
    """

    image_size: int
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    interpolation: str = "bilinear"
    crop_pct: float = 1.0

    def __post_init__(self) -> None:
        assert self.image_size > 0, self.image_size
        assert 0 < self.crop_pct <= 1, self.crop_pct
        assert self.interpolation in INTERPOLATIONS, self.interpolation

    @property
    def resized_px(self) -> int:
        """The short side from which the centre is cropped."""
        return math.floor(self.image_size / self.crop_pct)

    def evaluated(self, image_3HW: Tensor) -> Tensor:
        """Timm's evaluation transform: the short side becomes image_size / crop_pct, then a centre crop."""
        image_3HW = resized_short_side(_without_far_ends(image_3HW), self.resized_px, self.interpolation)
        return v2.functional.center_crop(image_3HW, [self.image_size])

    def normalised(self, images_N3HW: Tensor) -> Tensor:
        """uint8 to float32, (x / 255 - mean) / std, on the images' own device."""
        mean = torch.tensor(self.mean, device=images_N3HW.device).view(-1, 1, 1)
        std = torch.tensor(self.std, device=images_N3HW.device).view(-1, 1, 1)
        return images_N3HW.float().sub_(255 * mean).div_(255 * std)


def resized(image_3HW: Tensor, height: int, width: int, interpolation: str) -> Tensor:
    """Torchvision's antialiased resize of uint8 images, bit for bit, without its wrapping (a third of the
    time).
    """
    if image_3HW.shape[-2:] == (height, width):
        return image_3HW
    antialias = interpolation != "nearest"
    return F.interpolate(image_3HW[None], (height, width), mode=interpolation, antialias=antialias)[0]


def resized_short_side(image_3HW: Tensor, size_px: int, interpolation: str) -> Tensor:
    """The short side becomes `size_px`, the long side keeps the ratio, as in torchvision."""
    height, width = image_3HW.shape[-2:]
    if height <= width:
        return resized(image_3HW, size_px, int(size_px * width / height), interpolation)
    return resized(image_3HW, int(size_px * height / width), size_px, interpolation)


def _without_far_ends(image_3HW: Tensor) -> Tensor:
    """At most four times as long as wide: the centre crop sees no more, and the resized image stays small."""
    height, width = image_3HW.shape[-2:]
    longest = 4 * min(height, width)
    if max(height, width) <= longest:
        return image_3HW
    return v2.functional.center_crop(image_3HW, [min(height, longest), min(width, longest)])
