"""The quick look at a JPEG's header agrees with Pillow, and leaves everything odd to it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from transferlab.data.image.decoding import decode, plain_jpeg

PIXELS = np.random.default_rng(0).integers(0, 255, (6, 9, 3), np.uint8)


def jpeg(image: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"comment": "hello"}, {"icc_profile": b"x" * 300}]
)
def test_plain_ones_are_read_alike(mode, options):
    content = jpeg(Image.fromarray(PIXELS).convert(mode), **options)
    assert plain_jpeg(content) == (9, 6, len(mode))
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    np.testing.assert_array_equal(decode(content, max_pixels=100), expected)


def test_odd_ones_are_left_to_pillow():
    image = Image.fromarray(PIXELS)
    exif = Image.Exif()
    exif[0x0112] = 6
    assert plain_jpeg(jpeg(image, exif=exif)) is None
    assert decode(jpeg(image, exif=exif), max_pixels=100).shape == (9, 6, 3)
    assert plain_jpeg(jpeg(image.convert("CMYK"))) is None
    stream = io.BytesIO()
    image.save(stream, "PNG")
    assert plain_jpeg(stream.getvalue()) is None


@pytest.mark.parametrize("length", [0, 1, 2, 3, 10, 20, 100])
def test_never_raises(length):
    assert plain_jpeg(jpeg(Image.fromarray(PIXELS))[:length]) is None
