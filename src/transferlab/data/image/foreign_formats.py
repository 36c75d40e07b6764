"""Names files that are no image this program reads, with the command that makes one of them."""

from __future__ import annotations

import io

from PIL import TiffImagePlugin

_HEIC = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}
_CONVERT = "Fix: convert it to JPEG or PNG, e.g. "
_HEIC_FIX = f"{_CONVERT}heif-convert PHOTO.heic PHOTO.jpg (of libheif), or magick PHOTO.heic PHOTO.jpg"
_BEGINNINGS = {
    b"%PDF": f"a PDF document, which is not read. {_CONVERT}pdftoppm -png DOCUMENT.pdf PAGE",
    b"%!PS": f"PostScript, which is not read. {_CONVERT}gs -sDEVICE=png16m -o OUT.png IN.eps",
    b"\xc5\xd0\xd3\xc6": f"PostScript, which is not read. {_CONVERT}gs -sDEVICE=png16m -o OUT.png IN.eps",
    b"\xff\x0a": f"JPEG XL, which is not read. {_CONVERT}djxl IN.jxl OUT.png",
    b"\0\0\0\x0cJXL ": f"JPEG XL, which is not read. {_CONVERT}djxl IN.jxl OUT.png",
    b"version https://git-lfs": "a pointer of Git LFS instead of the image itself. Fix: git lfs pull",
    b"PK\x03\x04": "a zip archive. Fix: unpack it",
    b"\x1f\x8b": "compressed with gzip. Fix: unpack it",
    b"\x89HDF": "an HDF5 file, which is not read. Fix: write its images as PNG files",
    b"\x93NUMPY": "a numpy array. Fix: write it as an image, Image.fromarray(numpy.load(FILE)).save(OUT.png)",
    b"FUJIFILMCCD-RAW": f"a camera's raw file, which is not read. {_CONVERT}dcraw -T IN",
}


def what_it_is(content: bytes) -> str | None:
    """The format of bytes that Pillow does not open, and how to convert it; None where it is unknown."""
    if content[4:8] == b"ftyp":
        brand = content[8:12]
        if brand in _HEIC:
            return f"a HEIC photo (as iPhones take them), which is not read. {_HEIC_FIX}"
        if brand in (b"avif", b"avis"):
            return f"an AVIF image that Pillow cannot read here. {_CONVERT}avifdec IN.avif OUT.png"
        if brand == b"crx ":
            return f"a camera's raw file (CR3), which is not read. {_CONVERT}darktable-cli IN.cr3 OUT.jpg"
        return (
            f"a video ({brand.decode('latin-1')!r}). Fix: take images from it, e.g. ffmpeg -i IN OUT%04d.png"
        )
    if content[128:132] == b"DICM":
        return (
            "a DICOM file, which is not read. "
            f"{_CONVERT}dcmj2pnm +on --use-window 1 IN.dcm OUT.png (of DCMTK), in the window that matters"
        )
    if content[:4] in (b"II*\0", b"MM\0*"):
        return _unread_tiff(content)
    return next((what for start, what in _BEGINNINGS.items() if content.startswith(start)), None)


def _unread_tiff(content: bytes) -> str | None:
    """Bands and type of the first picture of a TIFF whose pixels have no place in RGB."""
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
        f"a TIFF of {bands} {'band' if bands == 1 else 'bands'} of {int(bits[0])} bit ({kind}), which is "
        "neither grey nor RGB. Fix: write the one or three bands to train on as an 8-bit PNG"
    )
