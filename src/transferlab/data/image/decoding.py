"""Image files of any format to uint8 RGB: the pixels that a viewer shows, or why there are none."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from transferlab.data.image.file_kinds import reason_not_an_image

EXIF_ORIENTATION = 0x0112
END_OF_JPEG = b"\xff\xd9"
_pillow = threading.Lock()


class BadImage(ValueError):
    """The reason why a file is not a usable image, without its name."""


@dataclass(frozen=True)
class Examined:
    """Result of reading a file.

    `reason` says why it cannot be used, None if it can; `remarks` what was done to it that a user should
    know.
    """

    width: int = 0
    height: int = 0
    mode: str = ""
    format: str = ""
    remarks: tuple[str, ...] = ()
    reason: str | None = None


def decode_file(path: Path, *, max_pixels: int) -> np.ndarray:
    """The image as uint8 RGB, shape (H, W, 3); raises `BadImage`."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadImage(f"cannot be read ({error.strerror})") from None
    return decode(content, max_pixels=max_pixels)


def decode(content: bytes, *, max_pixels: int) -> np.ndarray:
    """A file's bytes as uint8 RGB, shape (H, W, 3), turned upright; raises `BadImage`.

    Only the header is read before an image of more than `max_pixels` is refused. Plain JPEGs go to OpenCV,
    which gives the same pixels as Pillow in two thirds of the time; everything else to Pillow.
    """
    size = plain_jpeg_size(content)
    if size is not None and size[0] * size[1] <= max_pixels:
        is_png, plain = False, True
    else:
        with _opened(content, max_pixels) as image:
            is_png, kind = image.format == "PNG", image.format
            plain = kind == "JPEG" and image.mode in ("RGB", "L") and orientation(image) == 1
    if plain and END_OF_JPEG in content[-1024:]:
        flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
        pixels = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), flags)
        if pixels is not None:
            return pixels
    if is_png:  # checksums: Pillow shows a damaged picture without a word
        with _opened(content, max_pixels) as image, _explained(content):
            image.verify()
    with _opened(content, max_pixels) as image, _explained(content):
        return to_rgb(image)


def plain_jpeg_size(content: bytes) -> tuple[int, int] | None:
    """Width and height of a JPEG that any decoder shows alike, from its header; None for everything else.

    That is: 8 bits, grey or YCbCr, and no EXIF (rotation), Adobe (other colours) or further pictures in it.
    Saves opening the file with Pillow, a seventh of the time of decoding it.
    """
    at = 2
    while content[:2] == b"\xff\xd8" and at + 10 <= len(content) and content[at] == 0xFF:
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
        if marker in (0xC0, 0xC1, 0xC2):  # start of frame: sequential, extended, progressive
            height, width = (int.from_bytes(content[at + i : at + i + 2], "big") for i in (5, 7))
            return (width, height) if content[at + 4] == 8 and content[at + 9] in (1, 3) else None
        if marker in (0xE1, 0xEE) or content[at + 4 : at + 8] == b"MPF\0" or not 0xC0 <= marker <= 0xFE:
            return None
        at += 2 + length
    return None


def examine(content: bytes, *, max_pixels: int) -> Examined:
    """Decode for the facts alone; never raises."""
    try:
        with _opened(content, max_pixels) as image:
            facts = Examined(image.width, image.height, image.mode, image.format or "", remarks(image))
    except BadImage as error:
        return Examined(reason=str(error))
    try:
        decode(content, max_pixels=max_pixels)
    except BadImage as error:
        return Examined(facts.width, facts.height, facts.mode, facts.format, reason=str(error))
    return facts


@contextmanager
def _opened(content: bytes, max_pixels: int) -> Iterator[Image.Image]:
    """The image, its header read; Pillow's own limit and warnings are off: `max_pixels` decides."""
    if not content:
        raise BadImage("the file is empty")
    with _pillow, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            with _explained(content):
                image = Image.open(io.BytesIO(content))
            if image.width * image.height > max_pixels:
                raise BadImage(
                    f"{image.width}x{image.height} pixels are more than max_pixels={max_pixels} allows"
                )
            yield image
        finally:
            Image.MAX_IMAGE_PIXELS = limit


@contextmanager
def _explained(content: bytes) -> Iterator[None]:
    """Any error that a decoder raises at bytes that it does not understand, as `BadImage`."""
    try:
        yield
    except BadImage:
        raise
    except Image.UnidentifiedImageError:
        raise BadImage(reason_not_an_image(content)) from None
    except Exception as error:  # decoders raise anything from struct.error to IndexError
        raise BadImage(f"broken ({str(error) or type(error).__name__})") from None


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
    """Remark for the user about how an image is read."""
    found = []
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # a phone's JPEG with a preview
        found.append(f"only the first of {frames} frames is used")
    if image.mode.startswith("I;16"):
        high = int(np.asarray(image).max())
        if 255 < high < 8192:
            found.append(f"16-bit with no value above {high}, so it comes out dark")
    elif image.mode in ("I", "F"):
        found.append(f"{'float' if image.mode == 'F' else '32-bit'} values have no range of their own")
    return tuple(found)


def _straight_alpha(image: Image.Image) -> Image.Image:
    return image.convert({"La": "LA", "RGBa": "RGBA"}.get(image.mode, image.mode))


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    converted = ImageCms.profileToProfile(
        image, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    assert converted is not None
    return converted
