"""Kinds of files that are no images which can be read, by name and by content, and how to convert them."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable

from PIL import TiffImagePlugin

_HEIC = "heif-convert, or magick mogrify -format jpg *.heic"
_DICOM = "dcm2img --write-png (DCMTK) or pydicom, with the window that a reader of such images uses"
_RAW = "darktable-cli or dcraw"
_SLIDES = "cut them into tiles, e.g. with OpenSlide"
_VOLUMES = "save slices as images, e.g. with nibabel or SimpleITK"
_VIDEO = "ffmpeg -i FILE frame_%05d.png"
_SUFFIXES: dict[str, tuple[str, str]] = {  # ending: kind, how to convert
    **dict.fromkeys((".heic", ".heif", ".hif"), ("HEIC", _HEIC)),
    **dict.fromkeys((".dcm", ".dicom", ".ima"), ("DICOM", _DICOM)),
    **dict.fromkeys((".dng", ".nef", ".cr2", ".cr3", ".arw", ".raf", ".orf", ".rw2"), ("camera RAW", _RAW)),
    **dict.fromkeys((".svs", ".ndpi", ".mrxs", ".scn", ".vsi"), ("whole-slide", _SLIDES)),
    **dict.fromkeys((".nii", ".nii.gz", ".mha", ".mhd", ".nrrd"), ("volume", _VOLUMES)),
    **dict.fromkeys((".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"), ("video", _VIDEO)),
    ".svg": ("SVG", "rsvg-convert or Inkscape"),
    ".pdf": ("PDF", "pdftoppm -png FILE page"),
    ".psd": ("Photoshop", "export them as PNG"),
    ".jxl": ("JPEG XL", "djxl FILE.jxl FILE.png"),
    ".avif": ("AVIF", "avifdec IN.avif OUT.png"),
    **dict.fromkeys((".eps", ".ps"), ("PostScript", "gs -sDEVICE=png16m -o OUT.png IN.eps")),
    **dict.fromkeys((".h5", ".hdf5"), ("HDF5", "write its images as PNG files")),
    ".exr": ("OpenEXR", "oiiotool, with a tone mapping"),
    ".hdr": ("Radiance HDR", "oiiotool, with a tone mapping"),
    ".npy": ("NumPy", "save each image as PNG; or use an .npz of x_train, y_train, ... with data=mnist"),
    ".npz": ("NumPy", "save each image as PNG; or use an .npz of x_train, y_train, ... with data=mnist"),
}
_HOW = dict(_SUFFIXES.values())
_OTHER_FIXES = {"Git LFS pointer": "git lfs pull", "ZIP": "unpack it", "gzip": "unpack it"}
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_CONTENTS: tuple[tuple[int, bytes, str], ...] = (  # offset, bytes, kind
    (128, b"DICM", "DICOM"),
    (0, b"%PDF", "PDF"),
    (0, b"8BPS", "Photoshop"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"v/1\x01", "OpenEXR"),
    (0, b"\x93NUMPY", "NumPy"),
    (0, b"%!PS", "PostScript"),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript"),
    (0, b"\x89HDF", "HDF5"),
    (0, b"FUJIFILMCCD-RAW", "camera RAW"),
    (4, b"ftypcrx ", "camera RAW"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftypavis", "AVIF"),
    (0, b"\x1aE\xdf\xa3", "video"),
    (4, b"ftyp", "video"),  # after HEIC
    (0, b"PK\x03\x04", "ZIP"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"version https://git-lfs", "Git LFS pointer"),
)
_IMAGES: tuple[tuple[int, bytes], ...] = (
    *((0, magic) for magic in (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*")),
    (8, b"WEBP"),
)
LONGEST_MAGIC = 132  # bytes


def kind_by_name(name: str) -> str | None:
    """The kind of a file that holds images which cannot be read, by its ending; none for all others."""
    lower = name.lower()
    return next((kind for ending, (kind, _) in _SUFFIXES.items() if lower.endswith(ending)), None)


def kind_by_content(content: bytes) -> str | None:
    """The kind of a file that is no image which can be read, by its first bytes; none where that is unknown.

    >>> kind_by_content(bytes(4) + b"ftypheic"), kind_by_content(b"<!DOCTYPE html>"), kind_by_content(b"?")
    ('HEIC', 'HTML', None)
    """
    if content[4:8] == b"ftyp" and content[8:12] in _HEIF_BRANDS:
        return "HEIC"
    for offset, magic, kind in _CONTENTS:
        if content[offset : offset + len(magic)] == magic:
            return kind
    text = content[:LONGEST_MAGIC].lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "HTML"
    return "SVG" if b"<svg" in text else None


def looks_like_image(content: bytes) -> bool:
    """True if a file begins as JPEG, PNG, GIF, BMP, TIFF or WebP do."""
    return any(content[offset : offset + len(magic)] == magic for offset, magic in _IMAGES)


def reason_not_an_image(content: bytes) -> str:
    """The reason why a file's bytes are no image; shows none of them, as it may be any file.

    >>> reason_not_an_image(b"root:x:0")
    'not an image'
    """
    kind, fix = kind_by_content(content), ""
    if kind is None:
        return _unread_tiff(content) or "not an image"
    if kind in _HOW:
        fix = f". Fix: convert it to JPEG or PNG: {_HOW[kind]}"
    elif kind in _OTHER_FIXES:
        fix = f". Fix: {_OTHER_FIXES[kind]}"
    return f"not an image that can be read: {kind}{fix}"


def _unread_tiff(content: bytes) -> str | None:
    """Bands and type of the first picture of a TIFF whose pixels have no place in RGB."""
    if content[:4] not in (b"II*\0", b"MM\0*"):
        return None
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(content[:8])
        file = io.BytesIO(content)
        file.seek(tags.next)
        tags.load(file)
        bands = int(tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1))
        bits = tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
        sample = int(tags.get(TiffImagePlugin.SAMPLEFORMAT, (1,))[0])
    except Exception:  # a damaged directory: not known
        return None
    kind = {1: "unsigned", 2: "signed", 3: "float"}.get(sample, "unusual")
    return (
        f"not an image that can be read: a TIFF of {bands} {'band' if bands == 1 else 'bands'} of "
        f"{int(bits[0])} bit ({kind}), which is "
        "neither grey nor RGB. Fix: write the one or three bands to train on as an 8-bit PNG"
    )


def how_to_convert(kind: str) -> str:
    """A clause for a sentence, empty where nothing can be converted."""
    return f" (convert to JPEG or PNG: {_HOW[kind]})" if kind in _HOW else ""


def counted_kinds(kinds: Iterable[str]) -> str:
    """`8 HEIC files (convert ...) and 1 PDF file (convert ...)` for a sentence; empty if there are none."""
    counts = Counter(kinds).most_common()
    return " and ".join(
        f"{number} {kind} {'file' if number == 1 else 'files'}{how_to_convert(kind)}"
        for kind, number in counts
    )
