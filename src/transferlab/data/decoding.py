"""Image files to uint8 RGB, with the right pixels or a reason why not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps


class BadImage(ValueError):
    """The reason why a file is not a usable image, without its name."""


def decode_file(path: Path, *, max_pixels: int) -> np.ndarray:
    """The image as uint8 RGB, shape (H, W, 3); raises `BadImage`."""
    try:
        with Image.open(path) as image:
            if image.width * image.height > max_pixels:
                raise BadImage(f"{image.width}x{image.height} pixels are more than max_pixels={max_pixels}")
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise error if isinstance(error, BadImage) else BadImage(str(error)) from None
