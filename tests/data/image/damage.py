"""Kinds of damage that leave an image's file readable at first sight: each takes pixels away."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

SIDE = 96


def photo(seed: int = 0) -> Image.Image:
    """Smooth shapes and noise, so that compressed data is neither short nor random."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((SIDE, SIDE))
    noise = random.normal(0, 12, (SIDE, SIDE, 3))
    return Image.fromarray(np.clip(np.asarray(coarse) + noise, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


FORMATS: dict[str, bytes] = {
    "jpeg": encoded(photo(), "JPEG", quality=90),
    "jpeg, optimized": encoded(photo(), "JPEG", optimize=True),
    "jpeg, progressive": encoded(photo(), "JPEG", quality=90, progressive=True),
    "jpeg, restart markers": encoded(photo(), "JPEG", quality=90, restart_marker_rows=1),
    "jpeg, grey": encoded(photo().convert("L"), "JPEG"),
    "jpeg, cmyk": encoded(photo().convert("CMYK"), "JPEG"),
    "png": encoded(photo(), "PNG"),
    "png, palette": encoded(photo().quantize(64), "PNG"),
    "gif": encoded(photo().quantize(64), "GIF"),
    "gif, interlaced": encoded(photo().quantize(64), "GIF", interlace=1),
    "tiff, lzw": encoded(photo(), "TIFF", compression="tiff_lzw"),
    "tiff, deflate": encoded(photo(), "TIFF", compression="tiff_adobe_deflate"),
    "tiff": encoded(photo(), "TIFF"),
    "bmp": encoded(photo(), "BMP"),
    "ppm": encoded(photo(), "PPM"),
    "tga, run lengths": encoded(photo().quantize(8), "TGA", compression="tga_rle"),
    "webp": encoded(photo(), "WEBP", quality=80),
    "webp, lossless": encoded(photo(), "WEBP", lossless=True),
    "jpeg 2000": encoded(photo(), "JPEG2000"),
}

_ENDS = {"jpeg": b"\xff\xd9", "gif": b"\x00\x3b", "png": b"\0\0\0\0IEND\xaeB`\x82"}


def _cut(share: float) -> Callable[[str, bytes], bytes]:
    return lambda name, content: content[: int(len(content) * share)]


def _cut_and_ended(share: float) -> Callable[[str, bytes], bytes]:
    def damaged(name: str, content: bytes) -> bytes:
        return content[: int(len(content) * share)] + _ENDS[name.split(",")[0]]

    return damaged


def _cut_and_filled(share: float, fill: bytes) -> Callable[[str, bytes], bytes]:
    def damaged(name: str, content: bytes) -> bytes:
        kept = int(len(content) * share)
        return content[:kept] + fill * (len(content) - kept)

    return damaged


def _zeroed(share: float, num_bytes: int) -> Callable[[str, bytes], bytes]:
    def damaged(name: str, content: bytes) -> bytes:
        at = int(len(content) * share)
        return content[:at] + bytes(num_bytes) + content[at + num_bytes :]

    return damaged


def _without(share: float, num_bytes: int) -> Callable[[str, bytes], bytes]:
    def damaged(name: str, content: bytes) -> bytes:
        at = int(len(content) * share)
        return content[:at] + content[at + num_bytes :]

    return damaged


def _png_with_short_data(name: str, content: bytes) -> bytes:
    """All checksums right, but fewer rows than the header promises."""
    at = content.index(b"IDAT") - 4
    length = int.from_bytes(content[at : at + 4], "big")
    rows = zlib.decompress(content[at + 8 : at + 8 + length])
    short = zlib.compress(rows[: len(rows) // 2])
    body = b"IDAT" + short
    end = content[at + 12 + length :]
    return content[:at] + struct.pack(">I", len(short)) + body + struct.pack(">I", zlib.crc32(body)) + end


def _png_with_cut_stream(name: str, content: bytes) -> bytes:
    """As an upload that ended early and was closed properly: the compressed stream just stops."""
    at = content.index(b"IDAT") - 4
    length = int.from_bytes(content[at : at + 4], "big")
    body = b"IDAT" + content[at + 8 : at + 8 + length * 2 // 3]
    end = content[at + 12 + length :]
    return content[:at] + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) + end


KINDS: dict[str, Callable[[str, bytes], bytes]] = {
    "cut at a fifth": _cut(0.2),
    "cut in the middle": _cut(0.5),
    "cut at nine tenths": _cut(0.9),
    "cut in the middle, filled with zeros": _cut_and_filled(0.5, b"\0"),
    "cut at nine tenths, filled with zeros": _cut_and_filled(0.9, b"\0"),
    "cut in the middle, filled with ones": _cut_and_filled(0.5, b"\xff"),
    "cut in the middle and ended": _cut_and_ended(0.5),
    "cut at nine tenths and ended": _cut_and_ended(0.9),
    "a hole of 64 bytes": _zeroed(0.6, 64),
    "a hole of 512 bytes": _zeroed(0.5, 512),
    "a piece of 100 bytes missing": _without(0.5, 100),
    "half of the rows, checksums right": _png_with_short_data,
    "the stream cut, checksums right": _png_with_cut_stream,
}

_RAW = ("tiff", "bmp", "ppm")  # bytes of pixels: a hole is as good as a black patch


def damaged_files() -> Iterator[tuple[str, bytes]]:
    """Each kind of damage to each format that it leaves traces in."""
    for kind, damage in KINDS.items():
        for name, content in FORMATS.items():
            family = name.split(",")[0]
            only_for = ("ended" in kind and family not in _ENDS) or ("checksums" in kind and family != "png")
            untraced = name in _RAW and ("filled" in kind or "hole" in kind)
            untraced |= family == "jpeg 2000" and "hole" in kind and "512" not in kind
            if not only_for and not untraced:
                yield f"{name}: {kind}", damage(name, content)
