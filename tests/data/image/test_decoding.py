"""Odd images with pixels known beforehand, and broken ones with reasons."""

from __future__ import annotations

import io
import resource
import struct
import warnings
import zlib

import numpy as np
import PIL
import pytest
from PIL import Image, ImageCms, ImageFile

from transferlab.data.image.decoding import BadImage, decode, decode_file, examine, scaled_to_8_bits

LIMIT = 1_000_000
RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)
ARROW = np.array([[RED, GREEN, BLUE], [WHITE, BLACK, (255, 255, 0)]], dtype=np.uint8)  # no symmetry


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(rows: list[bytes], width: int, bit_depth: int, colour_type: int, chunks: bytes = b"") -> bytes:
    """A PNG written by hand: Pillow cannot write most of these."""
    header = struct.pack(">IIBBBBB", width, len(rows), bit_depth, colour_type, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunks + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def big_endian(*values: int) -> bytes:
    return struct.pack(f">{len(values)}H", *values)


def with_exif(turn: int, kind: str, **options) -> bytes:
    """ARROW, stored so that it looks like ARROW once the orientation is applied."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    image = Image.fromarray(ARROW.repeat(16, 0).repeat(16, 1))
    exif = Image.Exif()
    exif[0x0112] = turn
    return encoded(image.transpose(undo[turn]) if turn in undo else image, kind, exif=exif, **options)


def grey(*values: int) -> list[list[tuple[int, int, int]]]:
    return [[(value,) * 3 for value in values]]


def patch(*colours):
    """An 8x8 block of each colour side by side: JPEG keeps their middles."""
    return Image.fromarray(np.array([colours], dtype=np.uint8).repeat(16, 0).repeat(16, 1))


EXACT = {
    "rgb png": (encoded(Image.fromarray(ARROW), "PNG"), ARROW),
    "rgb bmp": (encoded(Image.fromarray(ARROW), "BMP"), ARROW),
    "rgb tiff": (encoded(Image.fromarray(ARROW), "TIFF"), ARROW),
    "rgb tiff, lzw": (encoded(Image.fromarray(ARROW), "TIFF", compression="tiff_lzw"), ARROW),
    "rgb ppm": (encoded(Image.fromarray(ARROW), "PPM"), ARROW),
    "rgb tga": (encoded(Image.fromarray(ARROW), "TGA"), ARROW),
    "rgb webp, lossless": (encoded(Image.fromarray(ARROW), "WEBP", lossless=True), ARROW),
    "rgb gif": (encoded(Image.fromarray(ARROW).quantize(8, dither=Image.Dither.NONE), "GIF"), ARROW),
    "interlaced palette gif": (encoded(Image.fromarray(ARROW).quantize(8), "GIF", interlace=1), ARROW),
    "1-bit png": (encoded(Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1"), "PNG"), grey(0, 255)),
    "1-bit tiff": (
        encoded(Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1"), "TIFF"),
        grey(0, 255),
    ),
    "2-bit grey png": (png([bytes([0b00011011])], 4, 2, 0), grey(0, 85, 170, 255)),
    "4-bit grey png": (png([bytes([0x0F, 0x80])], 4, 4, 0), grey(0, 255, 136, 0)),
    "8-bit grey png": (png([bytes([0, 7, 255])], 3, 8, 0), grey(0, 7, 255)),
    "8-bit grey bmp": (encoded(Image.fromarray(np.array([[0, 7, 255]], np.uint8)), "BMP"), grey(0, 7, 255)),
    "pgm, 16-bit": (b"P5 3 1 65535\n" + big_endian(0, 257 * 7, 65535), grey(0, 7, 255)),
    "pgm, largest value 100": (b"P5 3 1 100\n" + bytes([0, 50, 100]), grey(0, 128, 255)),
    "16-bit grey png": (png([big_endian(0, 257 * 100, 65535)], 3, 16, 0), grey(0, 100, 255)),
    "16-bit grey png, dark": (png([big_endian(0, 257, 1000)], 3, 16, 0), grey(0, 1, 4)),
    "16-bit grey tiff": (
        encoded(Image.fromarray(np.array([[0, 257 * 100, 65535]], np.uint16)), "TIFF"),
        grey(0, 100, 255),
    ),
    "16-bit rgb png": (png([big_endian(65535, 257 * 9, 0)], 1, 16, 2), [[(255, 9, 0)]]),
    "16-bit grey + alpha png": (png([big_endian(257 * 9, 65535, 0, 0)], 2, 16, 4), [[(9, 9, 9), WHITE]]),
    "16-bit rgba png": (png([big_endian(65535, 0, 257 * 9, 65535)], 1, 16, 6), [[(255, 0, 9)]]),
    "32-bit integer tiff": (
        encoded(Image.fromarray(np.array([[0, 257 * 100, 65535]], np.int32)), "TIFF"),
        grey(0, 100, 255),
    ),
    "32-bit integer tiff beyond 16 bits": (
        encoded(Image.fromarray(np.array([[-1000, 0, 1_000_000]], np.int32)), "TIFF"),
        grey(0, 0, 255),
    ),
    "float tiff in 0..1": (
        encoded(Image.fromarray(np.array([[0, 0.5, 1]], np.float32)), "TIFF"),
        grey(0, 128, 255),
    ),
    "float tiff in 0..255": (
        encoded(Image.fromarray(np.array([[0, 7, 255]], np.float32)), "TIFF"),
        grey(0, 7, 255),
    ),
    "palette png": (encoded(Image.fromarray(ARROW).quantize(8, dither=Image.Dither.NONE), "PNG"), ARROW),
    "1-bit palette png": (
        png([bytes([0b01000000])], 2, 1, 3, chunk(b"PLTE", bytes([*RED, *BLUE]))),
        [[RED, BLUE]],
    ),
    "palette png, one entry transparent": (
        png([bytes([0, 1])], 2, 8, 3, chunk(b"PLTE", bytes([*RED, *BLUE])) + chunk(b"tRNS", bytes([255, 0]))),
        [[RED, WHITE]],
    ),
    "grey png, one value transparent": (
        png([bytes([5, 9])], 2, 8, 0, chunk(b"tRNS", big_endian(9))),
        [[(5, 5, 5), WHITE]],
    ),
    "rgb png, one colour transparent": (
        png([bytes([*RED, *BLUE])], 2, 8, 2, chunk(b"tRNS", big_endian(0, 0, 255))),
        [[RED, WHITE]],
    ),
    "rgba png": (
        png([bytes([*RED, 255, *RED, 0, *BLACK, 51])], 3, 8, 6),
        [[RED, WHITE, (204, 204, 204)]],
    ),
    "grey + alpha png": (png([bytes([9, 255, 9, 0])], 2, 8, 4), [[(9, 9, 9), WHITE]]),
    "rgba webp": (
        encoded(
            Image.fromarray(np.array([[(*RED, 255), (*RED, 0)]], np.uint8)), "WEBP", lossless=True, exact=True
        ),
        [[RED, WHITE]],
    ),
    "rgba tiff": (
        encoded(Image.fromarray(np.array([[(*RED, 255), (*RED, 0)]], np.uint8)), "TIFF"),
        [[RED, WHITE]],
    ),
    "transparent gif": (
        encoded(Image.fromarray(np.array([[(*RED, 255), (*RED, 0)]], np.uint8)), "GIF"),
        [[RED, WHITE]],
    ),
    "cmyk tiff": (
        encoded(Image.fromarray(np.array([[(0, 255, 255, 0), (0, 0, 0, 255)]], np.uint8), "CMYK"), "TIFF"),
        [[RED, BLACK]],
    ),
    "first frame of a gif": (
        encoded(patch(RED), "GIF", save_all=True, append_images=[patch(BLUE)]),
        [[RED] * 16] * 16,
    ),
    "first frame of a webp": (
        encoded(patch(RED), "WEBP", save_all=True, append_images=[patch(BLUE)], lossless=True),
        [[RED] * 16] * 16,
    ),
    "first frame of an animated png": (
        encoded(patch(RED), "PNG", save_all=True, append_images=[patch(BLUE)]),
        [[RED] * 16] * 16,
    ),
    "first page of a tiff": (
        encoded(patch(RED), "TIFF", save_all=True, append_images=[patch(BLUE)]),
        [[RED] * 16] * 16,
    ),
    "one pixel": (png([bytes([*BLUE])], 1, 8, 2), [[BLUE]]),
    "one row": (png([bytes([*BLUE]) * 3000], 3000, 8, 2), [[BLUE] * 3000]),
}

LOSSY = {
    "rgb jpeg": (encoded(patch(RED, BLUE), "JPEG", quality=100, subsampling=0), (RED, BLUE)),
    "rgb jpeg, chroma halved": (encoded(patch(RED, BLUE), "JPEG", quality=95), (RED, BLUE)),
    "progressive jpeg": (encoded(patch(RED, BLUE), "JPEG", quality=95, progressive=True), (RED, BLUE)),
    "grey jpeg": (encoded(patch(WHITE, BLACK).convert("L"), "JPEG"), (WHITE, BLACK)),
    "cmyk jpeg": (encoded(patch(RED, BLUE).convert("CMYK"), "JPEG", quality=95), (RED, BLUE)),
    "rgb jpeg without YCbCr": (encoded(patch(RED, BLUE), "JPEG", keep_rgb=True), (RED, BLUE)),
    "webp": (encoded(patch(RED, BLUE), "WEBP", quality=95), (RED, BLUE)),
    "jpeg 2000": (encoded(patch(RED, BLUE), "JPEG2000"), (RED, BLUE)),
    "ycbcr tiff": (encoded(patch(RED, BLUE).convert("YCbCr"), "TIFF"), (RED, BLUE)),
    "jpeg named otherwise": (encoded(patch(RED, BLUE), "JPEG", quality=95), (RED, BLUE)),
}


@pytest.mark.parametrize("case", EXACT)
def test_exact_pixels(case):
    content, pixels = EXACT[case]
    decoded = decode(content, max_pixels=LIMIT)
    assert decoded.dtype == np.uint8
    assert decoded.flags.c_contiguous
    np.testing.assert_array_equal(decoded, np.array(pixels, dtype=np.uint8))


@pytest.mark.parametrize("case", LOSSY)
def test_lossy_pixels(case):
    if case == "ycbcr tiff" and int(PIL.__version__.partition(".")[0]) < 13:
        pytest.skip("Pillow before 13, all that Python 3.10 can have, does not read it")
    content, colours = LOSSY[case]
    decoded = decode(content, max_pixels=LIMIT)
    middles = decoded[8, [8 + 16 * place for place in range(len(colours))]].astype(int)
    np.testing.assert_allclose(middles, np.array(colours), atol=6)


@pytest.mark.parametrize("turn", range(9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation(turn, kind):
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    decoded = decode(with_exif(turn, kind, **options), max_pixels=LIMIT)
    assert decoded.shape == (32, 48, 3)
    np.testing.assert_allclose(decoded[8::16, 8::16].astype(int), ARROW, atol=6)


def test_lab_tiff():
    colours = [(200, 80, 60), (60, 90, 180)]  # vivid ones lose more to 8-bit L*a*b*
    lab = ImageCms.profileToProfile(
        patch(*colours), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    decoded = decode(encoded(lab, "TIFF"), max_pixels=LIMIT)
    np.testing.assert_allclose(decoded[8, [8, 24]].astype(int), colours, atol=12)


def test_the_quick_way_equals_pillow():
    noise = np.random.default_rng(0).integers(0, 256, (97, 131, 3), dtype=np.uint8)
    for options in ({}, {"subsampling": 0}, {"progressive": True}, {"quality": 30}):
        content = encoded(Image.fromarray(noise), "JPEG", **options)
        expected = np.asarray(Image.open(io.BytesIO(content)))
        difference = np.abs(decode(content, max_pixels=LIMIT).astype(int) - expected)
        assert difference.max() <= 2


JPEG = encoded(
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)), "JPEG"
)
PNG = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)), "PNG")
GIF = encoded(patch(RED), "GIF")
TIFF = encoded(Image.fromarray(ARROW.repeat(20, 0)), "TIFF", compression="tiff_lzw")
BMP = encoded(Image.fromarray(ARROW.repeat(20, 0)), "BMP")
WEBP = encoded(patch(RED), "WEBP")

BROKEN = {
    "empty": (b"", "empty"),
    "a web page": (b"<html>404</html>", "not an image"),
    "text": (b"label,1\n", "not an image"),
    "zeros": (bytes(1000), "not an image"),
    "half a jpeg": (JPEG[: len(JPEG) // 2], "broken"),
    "a jpeg without its last bytes": (JPEG[:-40], "broken"),
    "a jpeg header": (JPEG[:200], "broken"),
    "half a png": (PNG[: len(PNG) // 2], "broken"),
    "a png with a flipped byte": (PNG[:5000] + bytes([PNG[5000] ^ 255]) + PNG[5001:], "broken"),
    "half a gif": (GIF[: len(GIF) // 2], ""),
    "half a tiff": (TIFF[: len(TIFF) // 2], ""),
    "half a bmp": (BMP[: len(BMP) // 2], "broken"),
    "half a webp": (WEBP[: len(WEBP) // 2], ""),
    "a float image with a hole": (
        encoded(Image.fromarray(np.array([[0, np.nan]], np.float32)), "TIFF"),
        "not finite",
    ),
    "a bomb of a png": (png([b""], 60_000, 8, 0)[:16] + struct.pack(">II", 60_000, 60_000) + bytes(20), ""),
    "more pixels than allowed": (encoded(Image.new("L", (2000, 1000)), "PNG"), "2000x1000 pixels"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_have_reasons(case):
    content, says = BROKEN[case]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(BadImage) as error:
            decode(content, max_pixels=LIMIT)
        assert says in str(error.value)
        assert examine(content, max_pixels=LIMIT).reason == str(error.value)


def test_a_bomb_is_refused_before_memory_is_taken():
    import tracemalloc

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(10**6)))
    tracemalloc.start()
    with pytest.raises(BadImage, match="60000x60000 pixels are more than max_pixels=1000000"):
        decode(bomb, max_pixels=LIMIT)
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()


def test_a_larger_limit_than_pillows_is_honoured():
    limit = Image.MAX_IMAGE_PIXELS
    content = encoded(Image.new("1", (20_000, 10_000)), "PNG")
    assert examine(content[:200] + bytes(30_000), max_pixels=10**9).width == 20_000
    assert limit == Image.MAX_IMAGE_PIXELS
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_examine_says_what_is_odd():
    content, _ = EXACT["first frame of a gif"]
    facts = examine(content, max_pixels=LIMIT)
    assert (facts.width, facts.height, facts.format, facts.reason) == (16, 16, "GIF", None)
    assert facts.remarks == ("only the first of 2 frames is used",)
    dark = examine(EXACT["16-bit grey png, dark"][0], max_pixels=LIMIT)
    assert dark.remarks == ("16-bit with no value above 1000, so it comes out dark",)
    assert examine(JPEG, max_pixels=LIMIT).remarks == ()


def test_missing_file(tmp_path):
    with pytest.raises(BadImage, match="No such file"):
        decode_file(tmp_path / "gone.png", max_pixels=LIMIT)


def test_constant_wide_values_do_not_divide_by_zero():
    assert scaled_to_8_bits(np.full((2, 2), 70_000, np.int32)).tolist() == [[0, 0], [0, 0]]


def tiff_of_bands(bands: int, sample_format: int, dtype: str) -> bytes:
    """A TIFF written by hand: an image of 4x4 pixels with as many bands."""
    bits = np.dtype(dtype).itemsize * 8
    data = np.zeros((4, 4, bands), dtype).tobytes()
    tags = [(256, 4), (257, 4), (258, bits), (259, 1), (262, 1), (273, 8), (277, bands), (278, 4),
            (279, len(data)), (339, sample_format)]  # fmt: skip
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    head = b"II*\0" + struct.pack("<I", 8 + len(data))
    return head + data + struct.pack("<H", len(tags)) + entries + bytes(4)


FOREIGN = {
    "an iPhone's photo": (b"\0\0\0\x24ftypheic\0\0\0\0mif1heic" + bytes(200), "HEIC.*heif-convert"),
    "a film": (b"\0\0\0\x20ftypisom" + bytes(200), "video"),
    "a radiograph": (bytes(128) + b"DICM" + bytes(100), "DICOM.*dcm2img"),
    "a document": (b"%PDF-1.7" + bytes(100), "PDF"),
    "a drawing that another program would run": (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
    "git lfs": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "float bands": (tiff_of_bands(5, 3, "f4"), r"a TIFF of 5 bands of 32 bit \(float\)"),
    "16-bit bands": (tiff_of_bands(7, 1, "u2"), r"a TIFF of 7 bands of 16 bit \(unsigned\)"),
}  # fmt: skip


@pytest.mark.parametrize("case", FOREIGN)
def test_foreign_formats_are_named_with_a_way_to_convert_them(case):
    content, says = FOREIGN[case]
    with pytest.raises(BadImage, match=says) as error:
        decode(content, max_pixels=LIMIT)
    assert "Fix: " in str(error.value)


def huge(kind: str, width: int, height: int) -> bytes:
    """A few bytes that promise many pixels."""
    if kind == "PNG":
        header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        data = chunk(b"IDAT", zlib.compress(bytes(10)))
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")
    if kind == "GIF":
        frame = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\0;"
        return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6) + frame
    small = encoded(Image.new("RGB", (16, 16)), kind, **({"lossless": True} if kind == "WEBP" else {}))
    if kind == "WEBP":
        at = small.index(b"VP8L") + 9
        bits = int.from_bytes(small[at : at + 4], "little") & ~0xFFFFFFF | (width - 1) | (height - 1) << 14
        return small[:at] + struct.pack("<I", bits) + small[at + 4 :]
    if kind == "TIFF":
        entries = [struct.pack("<HHII", tag, 4, 1, size) for tag, size in ((256, width), (257, height))]
        for tag, entry in zip((256, 257), entries, strict=True):
            at = next(i for kind_ in (3, 4) if (i := small.find(struct.pack("<HHI", tag, kind_, 1))) > 0)
            small = small[:at] + entry + small[at + 12 :]
        return small
    at = small.index(b"\xff\xc0") + 5
    return small[:at] + struct.pack(">HH", height, width) + small[at + 4 :]


@pytest.mark.parametrize(
    ("kind", "width", "height"),
    [
        *(("PNG", *size) for size in ((1, 10**8), (10**8, 1), (10**4, 10**4), (99_000, 1000))),
        *((kind, 9999, 9999) for kind in ("GIF", "WEBP", "TIFF", "JPEG")),
    ],
)
def test_few_bytes_never_take_much_memory(kind, width, height):
    content = huge(kind, width, height)
    assert len(content) < 5_000
    began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadImage, match=r"longer than|cannot be in|are more than"):
        decode(content, max_pixels=100_000_000)
    assert examine(content, max_pixels=100_000_000).reason is not None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - began < 50_000  # KiB
