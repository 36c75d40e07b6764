"""Files that are odd, cannot be read, or are none."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from transferlab.data.catalog.folder import Folder
from transferlab.data.catalog.walking import walk_files
from transferlab.data.data_error import DataError


def test_a_pipe_and_a_socket_are_passed_over_and_said(image_folder):
    root = image_folder({"a": 2, "b": 2})
    os.mkfifo(root / "a" / "pipe.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "b" / "s.png"))
        catalog = Folder(str(root)).load()
    assert len(catalog) == 4
    notes = " ".join(catalog.notes)
    assert "a: ignored pipe.png: a pipe, a socket or a device, not a file" in notes
    assert "b: ignored s.png: a pipe" in notes


def test_links_to_themselves_are_a_sentence(image_folder):
    root = image_folder({"a": 1, "b": 1})
    (root / "a" / "self.png").symlink_to(root / "a" / "self.png")
    with pytest.raises(DataError, match=r"self\.png is a symbolic link to nothing that exists, or to itself"):
        Folder(str(root)).load()
    (root / "a" / "self.png").unlink()
    (root / "one").symlink_to("two")
    (root / "two").symlink_to("one")
    with pytest.raises(DataError, match=r"one is a symbolic link to nothing that exists, or to itself"):
        Folder(str(root)).load()


@pytest.mark.parametrize("inner", ["", "deep/deeper"])
def test_a_folder_that_cannot_be_read_is_named(image_folder, monkeypatch, inner):
    """By a stand-in for the system's refusal: root may read everything."""
    root = image_folder({"a": 1, "b": 1, "a/deep/deeper": 1})
    closed, scandir = root / "a" / inner, os.scandir

    def refusing(path):
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("transferlab.data.catalog.walking.os.scandir", refusing)
    with pytest.raises(
        DataError, match=rf"{closed}: this folder cannot be read \(Permission denied\)\. Fix:"
    ):
        Folder(str(root)).load()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_not_utf8_and_names_that_act_on_a_terminal(image_folder, make_batches):
    root = image_folder({"a": 5, "b": 5})
    (root / "a" / "001.png").rename(root / "a" / "caf\udce9.png")
    (root / "a" / "002.png").rename(root / "a" / "\x1b[31m\n.png")
    catalog = Folder(str(root)).load()
    assert "a/caf\\xe9.png" in catalog.samples
    assert "a/\\x1b[31m\\n.png" in catalog.samples
    splits = make_batches(source=Folder(str(root))).splits  # decodes each of them
    splits.table().to_csv(root / "split.csv")
    assert len(splits.fingerprint()) == 32
    (root / "b").rename(root / "caf\udce9\x1b")
    assert Folder(str(root)).load().classes == ("a", "caf\\xe9\\x1b")


def test_broken_files_with_odd_names_are_named_plainly(image_folder, make_batches):
    root = image_folder({"a": 2, "b": 2})
    (root / "a" / "\x1b]0;x\x07\n.png").write_bytes(b"?")
    with pytest.raises(DataError) as error:
        make_batches(source=Folder(str(root)))
    assert "a/\\x1b]0;x\\x07\\n.png: not an image" in str(error.value)


def test_formats_that_are_not_read_are_counted_and_named(image_folder):
    root = image_folder({"a": 1, "b": 0})
    for number in range(3):
        (root / "b" / f"IMG_{number}.HEIC").write_bytes(b"\0\0\0\x24ftypheic")
    (root / "b" / "IM0001").write_bytes(bytes(128) + b"DICM")
    with pytest.raises(DataError) as error:
        Folder(str(root)).load().usable()
    assert "b holds no images that can be read, but 3 HEIC files (convert" in str(error.value)
    assert "1 DICOM file (convert" in str(error.value)
    image_folder({"b": 1})
    assert "b: not read: 3 HEIC files (convert" in " ".join(Folder(str(root)).load().notes)


def test_images_without_an_ending_are_said(image_folder):
    root = image_folder({"a": 2, "b": 2})
    (root / "a" / "001.png").rename(root / "a" / "001")
    catalog = Folder(str(root)).load()
    assert len(catalog) == 3
    assert "a: ignored 001: images by their content, but without an ending" in " ".join(catalog.notes)


def test_folders_of_one_name_but_for_blanks_are_one_class(image_folder):
    root = image_folder({"dog": 2, "dog ": 2, "cat": 2, "Cat": 2})
    catalog = Folder(str(root)).load()
    assert catalog.classes == ("Cat", "cat", "dog")
    assert catalog.class_counts.tolist() == [2, 2, 4]
    notes = " ".join(catalog.notes)
    assert "class dog is written in 2 ways ('dog ', 'dog')" in notes
    assert "classes Cat, cat are alike but for upper and lower case" in notes


def test_hidden_files_are_not_walked(image_folder):
    root = image_folder({"a": 1, ".quarantine/a": 1})
    assert [path.name for path in walk_files(root, root)] == ["001.png"]
