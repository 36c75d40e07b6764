from __future__ import annotations

import pytest

from transferlab.data.image.decoding import BadImage, decode
from transferlab.data.image.file_kinds import counted_kinds, kind_by_content, kind_by_name

CONTENTS = {
    "HEIC": b"\0\0\0\x24ftypheic\0\0\0\0mif1heic" + bytes(200),
    "DICOM": bytes(128) + b"DICM" + bytes(50),
    "PDF": b"%PDF-1.7",
    "JPEG XL": b"\xff\x0a\xfa\x7f",
    "HTML": b"\n <!DOCTYPE HTML>",
    "SVG": b'<?xml version="1.0"?><svg width="1">',
    "video": b"\0\0\0\x18ftypmp42" + bytes(20),
    "NumPy": b"\x93NUMPY\x01\0",
}


@pytest.mark.parametrize(("kind", "content"), CONTENTS.items(), ids=CONTENTS)
def test_a_file_that_is_no_image_is_named_by_its_kind(kind, content):
    assert kind_by_content(content) == kind
    with pytest.raises(BadImage, match=f"^not an image that can be read: {kind}"):
        decode(content, max_pixels=100)


def test_the_content_of_any_other_file_is_not_shown():
    with pytest.raises(BadImage) as error:
        decode(b"root:x:0:0:secret", max_pixels=100)
    assert str(error.value) == "not an image"


def test_kinds_by_name_are_counted():
    names = ["a.HEIC", "b.heic", "c.dcm", "d.nii.gz", "e.txt", "f.jpg"]
    kinds = [kind for name in names if (kind := kind_by_name(name))]
    assert kinds == ["HEIC", "HEIC", "DICOM", "volume"]
    assert counted_kinds(kinds).startswith("2 HEIC files (convert to JPEG or PNG: heif-convert")
