"""Every way in which a file stores colours, as 8-bit RGB."""

from __future__ import annotations

import numpy as np
from PIL import Image

EXIF_ORIENTATION = 0x0112


def to_rgb(image: Image.Image) -> np.ndarray:
    """uint8 RGB, shape (H, W, 3), upright.

    - More than 8 bits are scaled, not clipped (see `scaled_to_8_bits`).
    - Transparent pixels lie on white, as on a page.
    - Of an animation, the first frame; of a multi-page file, the first page.
    - CMYK, palette, grey and L*a*b* are converted; colour profiles are not applied, as in pretraining.
    """
    image.load()
    turn = orientation(image)  # after loading: Pillow turns TIFFs itself
    if image.mode.startswith("I") or image.mode == "F":
        grey = scaled_to_8_bits(np.asarray(image))
        pixels = np.repeat(grey[..., None], 3, axis=2)
    elif image.has_transparency_data:
        pixels = on_white(np.asarray(_straight_alpha(image).convert("RGBA")))
    elif image.mode == "LAB":
        pixels = np.asarray(_lab_to_rgb(image))
    else:
        pixels = np.asarray(image.convert("RGB"))
    return np.array(upright(pixels, turn), order="C")


def scaled_to_8_bits(values: np.ndarray) -> np.ndarray:
    """Grey values of any type as uint8.

    Unsigned 16-bit: 0..65535 becomes 0..255, the same for every image. Wider integers and floats have no
    range of their own: floats in 0..1 are multiplied by 255, values within 0..255 kept, within 0..65535
    scaled as 16-bit, all others stretched from their smallest to their largest.

    Raises:
        ValueError: a value is not finite.
    """
    numbers = values.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError("holds values that are not finite")
    low, high = float(numbers.min()), float(numbers.max())
    if values.dtype == np.uint16:
        numbers /= 257
    elif low < 0 or high > 65535:
        numbers = (numbers - low) * (255 / max(high - low, 1))
    elif np.issubdtype(values.dtype, np.floating) and high <= 1:
        numbers *= 255
    elif high > 255:
        numbers /= 257
    return np.rint(numbers).astype(np.uint8)


def on_white(rgba: np.ndarray) -> np.ndarray:
    """Straight alpha (uint8, shape (H, W, 4)) composed with white: uint8, shape (H, W, 3)."""
    alpha = rgba[..., 3:].astype(np.float64) / 255
    return np.rint(rgba[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


def orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 (upright) where it is absent or unreadable."""
    try:
        value = image.getexif().get(EXIF_ORIENTATION, 1)
    except Exception:  # a broken EXIF block does not make the pixels wrong
        return 1
    return value if value in range(1, 9) else 1


def upright(pixels: np.ndarray, turn: int) -> np.ndarray:
    """Pixels, shape (H, W, 3), as EXIF's orientation says that they are to be shown."""
    if turn >= 5:
        pixels = pixels.swapaxes(0, 1)
    if turn in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if turn in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def remarks(image: Image.Image) -> tuple[str, ...]:
    """What a user should know about how an image is read."""
    said = []
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # a phone's JPEG with a preview
        said.append(f"only the first of {frames} frames is used")
    if image.mode.startswith("I;16"):
        high = int(np.asarray(image).max())
        if 255 < high < 8192:
            said.append(f"16-bit with no value above {high}, so it comes out dark")
    elif image.mode in ("I", "F"):
        said.append(f"{'float' if image.mode == 'F' else '32-bit'} values have no range of their own")
    return tuple(said)


def _straight_alpha(image: Image.Image) -> Image.Image:
    return image.convert({"La": "LA", "RGBa": "RGBA"}.get(image.mode, image.mode))


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    converted = ImageCms.profileToProfile(
        image, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    assert converted is not None
    return converted
