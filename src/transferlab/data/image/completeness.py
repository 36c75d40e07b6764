"""Signs that an image file has lost pixels which its decoder makes up: grey, black or repeated ones.

Looked for once, when images are examined; decoding for training does not pay for it.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from PIL import Image, TiffImagePlugin

_DAMAGE = ("Corrupt JPEG data", "Premature end of JPEG file", "Invalid component ID")  # libjpeg's words
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_OVERWRITTEN = "a part of its data is overwritten with zeros"
_HOLE = bytes(16)  # within compressed data: 128 bits of zeros
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1), 0xC2
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_TILES = (324, 325)  # tags of a TIFF: offsets and lengths in bytes
_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by colour type


Opened = Callable[[], AbstractContextManager[Image.Image]]


def why_incomplete(content: bytes, kind: str, opened: Opened) -> str | None:
    """The reason why a file that decodes has lost pixels; None if nothing says so.

    Args:
        content: of a file that can be decoded.
        kind: Pillow's name of the format.
        opened: gives the file opened by Pillow, as decoding does it.
    """
    try:
        return _why_incomplete(content, kind, opened)
    except (ValueError, IndexError, LookupError, OSError, SyntaxError, zlib.error, struct.error) as error:
        return f"its structure is damaged ({str(error) or type(error).__name__})"


def _why_incomplete(content: bytes, kind: str, opened: Opened) -> str | None:
    if kind in ("JPEG", "MPO"):
        return _why_jpeg_incomplete(content, opened)
    if kind == "PNG":
        return _why_png_incomplete(content)
    if kind == "WEBP":
        return _why_webp_incomplete(content)
    if kind == "JPEG2000" and bytes(512) in content:
        return _OVERWRITTEN
    return _why_deflate_incomplete(content, opened) if kind == "TIFF" else None


def _ends_early(found: int, promised: int) -> str:
    return f"its data end early: {found} of {promised} bytes"


@dataclass
class _Scan:
    """A scan of a JPEG: `components` by identifier, with the first symbols of their DC and AC tables."""

    components: dict[int, tuple[int, int]]
    first: int  # coefficients first..last, in zigzag order
    last: int
    had: int  # bits that earlier scans have left off
    left: int  # bits that this one leaves off
    data: bytes


@dataclass
class _Jpeg:
    frame: int = 0  # the marker of its frame: sequential, progressive, ...
    components: tuple[int, ...] = ()
    scans: list[_Scan] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)  # all that matters to decoding

    @property
    def content(self) -> bytes:
        """The file without metadata, previews and what follows the picture."""
        return b"".join((b"\xff\xd8", *self.pieces, b"\xff\xd9"))


def _why_jpeg_incomplete(content: bytes, opened: Opened) -> str | None:
    """By three signs: libjpeg's warnings, coefficients that no scan brings, and holes of zeros."""
    import simplejpeg

    jpeg = _parsed(content)
    try:
        colours = "CMYK" if len(jpeg.components) == 4 else "RGB"
        simplejpeg.decode_jpeg(jpeg.content, colours, min_height=1, min_width=1, min_factor=8, strict=True)
    except ValueError as error:  # also a warning; those that say nothing of the pixels are left aside
        if str(error).startswith(_DAMAGE):
            return str(error)
        with opened() as image:
            image.load()
    if jpeg.frame != _PROGRESSIVE:
        seen = {name for scan in jpeg.scans for name in scan.components}
        if set(jpeg.components) - seen:
            return "its data end early: a colour is missing"
    elif not all(_is_refined(jpeg.scans, name) for name in jpeg.components):
        return "its data end early: the last scans of a progressive JPEG are missing"
    if any(_HOLE in scan.data and not _may_hold_zeros(scan, jpeg.frame) for scan in jpeg.scans):
        return _OVERWRITTEN
    return None


def _parsed(content: bytes) -> _Jpeg:
    """The parts of a JPEG up to its end, or to where it cannot be understood."""
    jpeg, at = _Jpeg(), 2
    tables: dict[int, int] = {}
    while (marker_at := _NEXT_MARKER.search(content, at)) and marker_at.end() + 2 <= len(content):
        at = marker_at.end() - 2
        marker = content[at + 1]
        if marker == 0x01:  # stands alone
            at += 2
            continue
        if marker == 0xD9:
            break
        end = at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        body = content[at + 4 : end]
        if marker == 0xC4:
            tables |= dict(_first_symbols(body))
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC8, 0xCC):
            jpeg.frame, jpeg.components = marker, tuple(body[6::3][: body[5]])
        elif marker == 0xDA:
            following = _NEXT_MARKER.search(content, end)
            begin, end = end, following.start() if following else len(content)
            jpeg.scans.append(_scan(body, tables, content[begin:end]))
        if not 0xE0 <= marker <= 0xED and marker not in (0xEF, 0xFE):
            jpeg.pieces.append(content[at:end])
        at = end
    return jpeg


def _first_symbols(body: bytes) -> Iterator[tuple[int, int]]:
    """Of each Huffman table in a segment its number (16 more for AC), and the symbol of zero bits alone."""
    at = 0
    while at + 17 < len(body):
        yield body[at], body[at + 17]
        at += 17 + sum(body[at + 1 : at + 17])


def _scan(body: bytes, tables: dict[int, int], data: bytes) -> _Scan:
    number = body[0]
    named = {
        body[1 + 2 * i]: (tables.get(body[2 + 2 * i] >> 4, -1), tables.get(16 + (body[2 + 2 * i] & 15), -1))
        for i in range(number)
    }
    first, last, bits = body[1 + 2 * number : 4 + 2 * number]
    return _Scan(named, first, last, bits >> 4, bits & 15, data)


def _is_refined(scans: list[_Scan], component: int) -> bool:
    """True if the scans bring every coefficient of a component to its last bit."""
    missing = [True] * 64
    for scan in scans:
        if component in scan.components and scan.left == 0:
            missing[scan.first : scan.last + 1] = [False] * (scan.last + 1 - scan.first)
    return not any(missing)


def _may_hold_zeros(scan: _Scan, frame: int) -> bool:
    """True if many zero bits in a row are blocks without detail, rather than one coefficient repeated."""
    if frame in _SEQUENTIAL:
        return all(symbols == (0, 0) for symbols in scan.components.values())
    if frame != _PROGRESSIVE or (scan.first == 0 and scan.had):  # the latter: bare bits
        return True
    return all((dc if scan.first == 0 else ac & 15) == 0 for dc, ac in scan.components.values())


def _why_png_incomplete(content: bytes) -> str | None:
    """By the length of what its compressed data hold."""
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    depth, colour, _, _, interlaced = content[24:29]
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    expected = 0
    for left, top, across, down in passes:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            expected += rows * (1 + (columns * depth * _PNG_SAMPLES[colour] + 7) // 8)
    stream, found = zlib.decompressobj(), 0
    for data in _png_data(content):
        while data and found < expected:
            found += len(stream.decompress(data, 2**20))
            data = stream.unconsumed_tail
    return None if found >= expected else _ends_early(found, expected)


def _png_data(content: bytes) -> Iterator[bytes]:
    at = 8
    while at + 12 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        if content[at + 4 : at + 8] == b"IDAT":
            yield content[at + 8 : at + 8 + length]
        at += 12 + length


def _why_webp_incomplete(content: bytes) -> str | None:
    """By its length, and holes of zeros where arithmetic coding or prefix codes leave none."""
    promised = int.from_bytes(content[4:8], "little") + 8
    if promised > len(content):
        return _ends_early(len(content), promised)
    at = 12
    while at + 8 <= len(content):
        name, length = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
        if name == b"ANMF":  # a frame: its own chunks follow its 16 bytes
            at += 24
            continue
        if name in (b"VP8 ", b"VP8L") and bytes(64) in content[at + 8 : at + 8 + length]:
            return _OVERWRITTEN
        at += 8 + length + length % 2
    return None


def _why_deflate_incomplete(content: bytes, opened: Opened) -> str | None:
    """By the checksums of a TIFF's strips or tiles, which libtiff does not reach."""
    with opened() as image:
        assert isinstance(image, TiffImagePlugin.TiffImageFile)
        tags = image.tag_v2
        if tags.get(TiffImagePlugin.COMPRESSION) not in (8, 32946):
            return None
        pairs = ((TiffImagePlugin.STRIPOFFSETS, TiffImagePlugin.STRIPBYTECOUNTS), _TILES)
        offsets, lengths = next((tags[at], tags[length]) for at, length in pairs if at in tags)
    for offset, length in zip(offsets, lengths, strict=True):
        stream, data = zlib.decompressobj(), content[offset : offset + length]
        while data:
            stream.decompress(data, 2**20)
            data = stream.unconsumed_tail
        if not stream.eof:
            return f"the data of a strip end early: {length} bytes from {offset} on"
    return None
