"""Damage that decoders pass over: found when images are examined, and never where there is none."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.data.image.damage import FORMATS, damaged_files, encoded, photo

from transferlab.data.image.decoding import BadImage, decode, examine

LIMIT = 1_000_000
DAMAGED = dict(damaged_files())


def reason(content: bytes) -> str | None:
    return examine(content, max_pixels=LIMIT).reason


@pytest.mark.parametrize("name", FORMATS)
def test_whole_files_are_whole(name):
    assert reason(FORMATS[name]) is None


def test_no_damage_is_silent():
    assert len(DAMAGED) > 150
    assert [name for name, content in DAMAGED.items() if reason(content) is None] == []


@pytest.mark.parametrize("start", range(6))
def test_holes_in_a_jpeg_anywhere(start):
    """Also where the codes behind a hole fall into step again and the number of blocks comes out right."""
    for name in ("jpeg", "jpeg, optimized", "jpeg, grey", "jpeg, restart markers"):
        whole = FORMATS[name]
        for at in range(800 + 7 * start, len(whole) - 120, 97):
            damaged = whole[:at] + bytes(60) + whole[at + 60 :]
            assert reason(damaged) is not None, (name, at)


def test_a_progressive_jpeg_without_its_last_scans():
    whole = FORMATS["jpeg, progressive"]
    starts = [at for at in range(len(whole) - 1) if whole[at : at + 2] == b"\xff\xda"]
    assert len(starts) > 5
    for start in starts[1:]:
        tables = whole.rfind(b"\xff\xc4", 0, start)  # each scan brings its own
        ended = whole[:tables] + b"\xff\xd9"
        decode(ended, max_pixels=LIMIT)  # no decoder minds
        assert "last scans of a progressive JPEG are missing" in str(reason(ended))


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (10, 200, 30)])
@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"progressive": True}, {"quality": 100}])
def test_blank_areas_are_no_damage(colour, options):
    """Their compressed data are zeros in long rows, too."""
    page = np.full((600, 800, 3), colour, np.uint8)
    assert reason(encoded(Image.fromarray(page), "JPEG", **options)) is None
    page[100:196, 200:296] = np.asarray(photo())
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "JPEG2000"):
        assert reason(encoded(Image.fromarray(page), kind, **(options if kind == "JPEG" else {}))) is None


def test_metadata_is_no_damage():
    """Previews, comments, odd versions of JFIF, and what a camera writes behind the picture."""
    whole = FORMATS["jpeg"]
    odd = bytearray(whole)
    odd[odd.index(b"JFIF") + 5] = 9  # a major version that libjpeg warns of
    assert reason(bytes(odd)) is None
    preview = b"\xff\xe2\xff\x00" + whole[:300] + bytes(0xFF00 - 302)
    assert reason(whole[:2] + preview + whole[2:]) is None
    assert reason(whole + whole[: len(whole) // 2]) is None


def test_what_is_said():
    assert reason(DAMAGED["jpeg: cut in the middle and ended"]) == (
        "broken (Corrupt JPEG data: premature end of data segment)"
    )
    assert "of 27744 bytes" not in str(reason(FORMATS["png"]))
    assert str(reason(DAMAGED["png: half of the rows, checksums right"])).startswith(
        "broken (its data end early: 13872 of 27744 bytes"
    )
    assert "overwritten with zeros" in str(reason(DAMAGED["webp: a hole of 512 bytes"]))


SEEDS = sorted(FORMATS.values(), key=len)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A file of some format with bytes changed, removed, repeated or put in."""
    content = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, min(len(content), 600)) | st.integers(0, len(content)))
        change = draw(st.sampled_from(("set", "cut", "remove", "repeat", "insert")))
        if change == "set" and at < len(content):
            content[at] = draw(st.integers(0, 255))
        elif change == "cut":
            del content[at:]
        elif change == "remove":
            del content[at : at + draw(st.integers(1, 400))]
        elif change == "repeat":
            content[at:at] = content[at : at + draw(st.integers(1, 100))]
        else:
            content[at:at] = draw(st.binary(max_size=40))
    return bytes(content)


def assert_image_or_sentence(content: bytes) -> None:
    facts = examine(content, max_pixels=LIMIT)
    sentence = ""
    try:
        pixels = decode(content, max_pixels=LIMIT)
    except BadImage as error:
        sentence = str(error)
    assert "\n" not in f"{sentence}{facts.reason}"
    if sentence:
        assert facts.reason is not None
    else:
        assert pixels.dtype == np.uint8
        assert pixels.shape[2] == 3
        assert facts.reason is not None or pixels.shape[0] * pixels.shape[1] == facts.width * facts.height


FUZZ = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True}
ANY_BYTES = st.binary(max_size=300) | mutated()


@settings(max_examples=200, **FUZZ)
@given(ANY_BYTES)
@example(b"")
@example(b"\xff\xd8\xff\xda")
def test_any_bytes_give_an_image_or_a_sentence(content):
    assert_image_or_sentence(content)


@pytest.mark.slow
@settings(max_examples=2000, **FUZZ)
@given(ANY_BYTES)
def test_many_more_bytes_give_an_image_or_a_sentence(content):
    assert_image_or_sentence(content)


@pytest.mark.parametrize("frames", [2, 5])
@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_animations_cut_off_anywhere(kind, frames):
    images = [photo(seed).quantize(32) if kind == "GIF" else photo(seed) for seed in range(frames)]
    file = io.BytesIO()
    images[0].save(file, kind, save_all=True, append_images=images[1:])
    whole = file.getvalue()
    for share in np.linspace(0.02, 0.99, 25):
        assert_image_or_sentence(whole[: int(len(whole) * share)])
