"""Preprocessing: the size, crop and normalisation of a network's pretraining."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

ImageTransform = Callable[[Tensor], Tensor]
"""uint8 RGB, shape (3, H, W), to uint8 RGB, shape (3, image_size, image_size)."""

INTERPOLATIONS = ("nearest", "bilinear", "bicubic")
CROP_MODES = ("center", "squash", "border")
LARGEST_RESIZED = 2**24  # pixels of a resized image before its ends are cut off; 48 MiB


@dataclass(frozen=True)
class Preprocessing:
    """Preparation of images for a network, as timm's evaluation transform does it.

    Attributes:
        image_size: side in pixels of the square that the network takes, or (height, width).
        mean: per channel, for pixels in 0..1; so is `std`.
        interpolation: of the resize.
        crop_pct: share of the resized image's side that the crop keeps; above 1 the crop is padded.
        crop_mode: `center` resizes the short side, and the crop loses the ends of the long one; `squash`
            resizes both sides, and loses the aspect ratio; `border` resizes the long side, and fills up the
            short one with the mean colour.
    """

    image_size: int | tuple[int, int]
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    interpolation: str = "bilinear"
    crop_pct: float = 1.0
    crop_mode: str = "center"

    def __post_init__(self) -> None:
        assert min(self.size_px) > 0, self.image_size
        assert self.crop_pct > 0, self.crop_pct
        assert self.interpolation in INTERPOLATIONS, self.interpolation
        assert self.crop_mode in CROP_MODES, self.crop_mode

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width of what the network takes."""
        size = self.image_size
        return (size, size) if isinstance(size, int) else size

    @property
    def resized_px(self) -> int:
        """The larger of the sides from which the crop is taken."""
        return max(self._resized_size)

    @property
    def _resized_size(self) -> tuple[int, int]:
        height, width = self.size_px
        return math.floor(height / self.crop_pct), math.floor(width / self.crop_pct)

    def evaluated(self, image_3HW: Tensor) -> Tensor:
        """The pixels of timm's evaluation transform: resized, then cropped to (3, *size_px)."""
        height, width = self._resized_size
        if self.crop_mode == "squash":
            image_3HW = resized_by_pillow(image_3HW, height, width, self.interpolation)
        elif self.crop_mode == "border":
            image_3HW = self._on_mean_colour(
                resized_by_pillow(image_3HW, *self._fitted(image_3HW, max), self.interpolation)
            )
        elif height == width:
            image_3HW = self._without_far_ends(image_3HW)
            resize = resized_by_pillow if _is_tall(image_3HW) else resized
            image_3HW = resize(image_3HW, *with_short_side(image_3HW, height), self.interpolation)
        else:
            image_3HW = self._without_far_ends(image_3HW)
            image_3HW = resized_by_pillow(image_3HW, *self._fitted(image_3HW, min), self.interpolation)
        return center_crop(image_3HW, *self.size_px)

    def _fitted(self, image_3HW: Tensor, of_ratios: Callable[[float, float], float]) -> tuple[int, int]:
        """Height and width of an image that keeps its ratio: within the resized size (`max`), or around it
        (`min`).
        """
        (height, width), (target_height, target_width) = image_3HW.shape[-2:], self._resized_size
        ratio = of_ratios(height / target_height, width / target_width)
        return max(round(height / ratio), 1), max(round(width / ratio), 1)

    def _on_mean_colour(self, image_3HW: Tensor) -> Tensor:
        """The image in the middle of a canvas of the mean colour that is at least as large as the crop."""
        height, width = image_3HW.shape[-2:]
        canvas_height, canvas_width = max(height, self.size_px[0]), max(width, self.size_px[1])
        colour = torch.tensor([round(255 * share) for share in self.mean], dtype=torch.uint8)
        canvas = colour.view(3, 1, 1).repeat(1, canvas_height, canvas_width)
        top, left = (canvas_height - height) // 2, (canvas_width - width) // 2
        canvas[:, top : top + height, left : left + width] = image_3HW
        return canvas

    def _without_far_ends(self, image_3HW: Tensor) -> Tensor:
        """An image that would be huge once resized, without the ends that the crop does not reach."""
        height, width = image_3HW.shape[-2:]
        short = min(height, width)
        if max(height, width) * (self.resized_px / short) ** 2 * short <= LARGEST_RESIZED:
            return image_3HW
        longest = math.ceil(4 * max(self.crop_pct, 1) * max(self.size_px) / min(self.size_px)) * short
        return center_crop(image_3HW, min(height, longest), min(width, longest))

    def normalised(self, images_N3HW: Tensor) -> Tensor:
        """uint8 to float32, (x / 255 - mean) / std, on the images' own device."""
        mean = torch.tensor(self.mean, device=images_N3HW.device).view(-1, 1, 1)
        std = torch.tensor(self.std, device=images_N3HW.device).view(-1, 1, 1)
        return images_N3HW.float().sub_(255 * mean).div_(255 * std)


def center_crop(image_3HW: Tensor, height: int, width: int) -> Tensor:
    """Torchvision's, which is imported when the first image comes: it costs 160 MiB and seconds."""
    from torchvision.transforms.v2 import functional

    return functional.center_crop(image_3HW, [height, width])


def resized(image_3HW: Tensor, height: int, width: int, interpolation: str) -> Tensor:
    """Torchvision's antialiased resize of uint8 images, bit for bit, without its wrapping (a third of the
    time).
    """
    if image_3HW.shape[-2:] == (height, width):
        return image_3HW
    antialias = interpolation != "nearest"
    return F.interpolate(image_3HW[None], (height, width), mode=interpolation, antialias=antialias)[0]


def resized_by_pillow(image_3HW: Tensor, height: int, width: int, interpolation: str) -> Tensor:
    """Pillow's resize, as timm's transform uses it: three times the time of `resized`.

    Pillow rounds between its two passes, and since version 13 it takes the columns first where the image is
    tall or loses its ratio; at hard edges the order makes 20 grey levels.
    """
    if image_3HW.shape[-2:] == (height, width):
        return image_3HW
    pixels_HW3 = np.ascontiguousarray(image_3HW.permute(1, 2, 0).numpy())
    filter_ = Image.Resampling[interpolation.upper()]
    smaller = np.array(Image.fromarray(pixels_HW3).resize((width, height), filter_))
    return torch.from_numpy(smaller).permute(2, 0, 1)


def _is_tall(image_3HW: Tensor) -> bool:
    height, width = image_3HW.shape[-2:]
    return height > 1.5 * width  # Pillow's own limit is 2; most photos stay below this one


def resized_short_side(image_3HW: Tensor, size_px: int, interpolation: str) -> Tensor:
    """The short side becomes `size_px`, the long side keeps the ratio."""
    return resized(image_3HW, *with_short_side(image_3HW, size_px), interpolation)


def with_short_side(image_3HW: Tensor, size_px: int) -> tuple[int, int]:
    """Height and width of an image whose short side becomes `size_px`, as torchvision rounds them."""
    height, width = image_3HW.shape[-2:]
    if height <= width:
        return size_px, int(size_px * width / height)
    return int(size_px * height / width), size_px
