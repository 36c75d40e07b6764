"""Image files of any format to uint8 RGB: the pixels that a viewer shows, or why there are none."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from transferlab.data.image.completeness import why_incomplete
from transferlab.data.image.file_kinds import reason_not_an_image

EXIF_ORIENTATION = 0x0112
END_OF_JPEG = b"\xff\xd9"
LONGEST_SIDE = 100_000  # pixels; a decoder may take memory for each row
UNSUSPECTED = 2**24  # pixels; a larger image must have a byte for every
PIXELS_PER_BYTE = 10_000  # of them: a blank page in the best of formats has fewer
_NOT_OPENED = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}  # without pixels, or run by another program
_BLOCK = 2**22  # values converted at a time
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
    if header := plain_jpeg(content):
        _refuse_bomb(header[0], header[1], len(content), max_pixels)
        is_png, plain = False, True
    else:
        with _opened(content, max_pixels) as image:
            is_png, kind = image.format == "PNG", image.format
            plain = kind == "JPEG" and image.mode in ("RGB", "L") and orientation(image) == 1
    if plain and END_OF_JPEG in content[-1024:]:
        flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
        with _explained(content):
            pixels = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), flags)
        if pixels is not None:
            return pixels
    if is_png:  # checksums: Pillow shows a damaged picture without a word
        with _opened(content, max_pixels) as image, _explained(content):
            image.verify()
    with _opened(content, max_pixels) as image, _explained(content):
        return to_rgb(image)


def plain_jpeg(content: bytes) -> tuple[int, int, int] | None:
    """Width, height and number of colours of a JPEG that any decoder shows alike; None for everything else.

    That is: 8 bits, grey or YCbCr, and no EXIF (rotation), Adobe (other colours) or further pictures in it.
    Saves opening the file with Pillow, a seventh of the time of decoding it.
    """
    at = 2
    while content[:2] == b"\xff\xd8" and at + 10 <= len(content) and content[at] == 0xFF:
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
        if marker in (0xC0, 0xC1, 0xC2):  # start of frame: sequential, extended, progressive
            height, width = (int.from_bytes(content[at + i : at + i + 2], "big") for i in (5, 7))
            colours = content[at + 9]
            return (width, height, colours) if content[at + 4] == 8 and colours in (1, 3) else None
        if marker in (0xE1, 0xEE) or content[at + 4 : at + 8] == b"MPF\0" or not 0xC0 <= marker <= 0xFE:
            return None
        at += 2 + length
    return None


def examine(content: bytes, *, max_pixels: int) -> Examined:
    """Decode for the facts alone, and look for lost pixels; never raises."""
    header = plain_jpeg(content)
    try:
        if header:
            _refuse_bomb(header[0], header[1], len(content), max_pixels)
            facts = Examined(header[0], header[1], "L" if header[2] == 1 else "RGB", "JPEG")
        else:
            with _opened(content, max_pixels) as image, _explained(content):
                facts = Examined(image.width, image.height, image.mode, image.format or "", remarks(image))
    except BadImage as error:
        return Examined(reason=str(error))
    try:
        if not header or END_OF_JPEG not in content[-1024:]:
            decode(content, max_pixels=max_pixels)  # a plain JPEG is decoded by the check below
    except BadImage as error:
        return replace(facts, remarks=(), reason=str(error))
    lost = why_incomplete(content, facts.format, partial(_opened, content, max_pixels))
    return facts if lost is None else replace(facts, remarks=(), reason=f"broken ({lost})")


@contextmanager
def _opened(content: bytes, max_pixels: int) -> Iterator[Image.Image]:
    """The image, its header read; Pillow's own limit and warnings are off: `max_pixels` decides.

    Once the file has passed, the limit holds for pictures within it, such as an icon's.
    """
    if not content:
        raise BadImage("the file is empty")
    with _pillow, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            with _explained(content):
                image = Image.open(io.BytesIO(content), formats=_formats())
            _refuse_bomb(image.width, image.height, len(content), max_pixels)
            Image.MAX_IMAGE_PIXELS = max_pixels
            yield image
        finally:
            Image.MAX_IMAGE_PIXELS = limit


@cache
def _formats() -> list[str]:
    Image.init()
    return [name for name in Image.ID if name not in _NOT_OPENED]


def _refuse_bomb(width: int, height: int, num_bytes: int, max_pixels: int) -> None:
    """Raise `BadImage` for a size that would take more memory than an image of such a file should."""
    if width * height > max_pixels:
        raise BadImage(f"{width}x{height} pixels are more than max_pixels={max_pixels} allows")
    if max(width, height) > LONGEST_SIDE:
        raise BadImage(f"{width}x{height} pixels: a side is longer than {LONGEST_SIDE} pixels")
    if width * height > max(UNSUSPECTED, PIXELS_PER_BYTE * num_bytes):
        raise BadImage(f"{width}x{height} pixels cannot be in {num_bytes} bytes")


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
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError("holds values that are not finite")

    def scaled(part: np.ndarray) -> np.ndarray:
        numbers = part.astype(np.float64)
        if values.dtype == np.uint16:
            numbers /= 257
        elif low < 0 or high > 65535:
            numbers = (numbers - low) * (255 / max(high - low, 1))
        elif np.issubdtype(values.dtype, np.floating) and high <= 1:
            numbers *= 255
        elif high > 255:
            numbers /= 257
        return np.rint(numbers)

    return _by_rows(scaled, values, values.shape)


def on_white(rgba: np.ndarray) -> np.ndarray:
    """Straight alpha (uint8, shape (H, W, 4)) composed with white: uint8, shape (H, W, 3)."""

    def composed(part: np.ndarray) -> np.ndarray:
        alpha = part[..., 3:].astype(np.float64) / 255
        return np.rint(part[..., :3] * alpha + 255 * (1 - alpha))

    return _by_rows(composed, rgba, (*rgba.shape[:2], 3))


def _by_rows(
    function: Callable[[np.ndarray], np.ndarray], values: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """The function's values as uint8, a block of rows at a time: in float64 a large image takes gigabytes."""
    result = np.empty(shape, dtype=np.uint8)
    rows = max(_BLOCK * len(values) // max(values.size, 1), 1)
    for start in range(0, len(values), rows):
        result[start : start + rows] = function(values[start : start + rows])
    return result


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
    try:
        frames = getattr(image, "n_frames", 1)
    except Exception:  # of a later frame; the first one is what is used
        frames = 1
        found.append("damaged behind its first frame, which is used")
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
