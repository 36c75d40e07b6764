from __future__ import annotations

import os
import shutil

import pytest

from transferlab.data.catalog.folder import Folder
from transferlab.data.data_error import DataError


def test_flat_folder(image_folder):
    root = image_folder({"dog": 2, "cat": 3})
    catalog = Folder(str(root)).load()
    assert catalog.classes == ("cat", "dog")
    assert catalog.class_counts.tolist() == [3, 2]
    assert catalog.samples[0] == "cat/003.png"
    assert catalog.table["split"].isna().all()
    assert catalog.reader("dog/001.png").shape == (10, 12, 3)


def test_parts_and_their_other_names(image_folder):
    root = image_folder({"Train/a": 2, "Train/b": 2, "valid/a": 1, "valid/b": 1, "testing/b": 1})
    table = Folder(str(root)).load().table
    assert table["split"].value_counts().to_dict() == {"train": 4, "val": 2, "test": 1}


def test_a_class_may_be_called_train(image_folder):
    root = image_folder({"train": 2, "car": 2})
    assert Folder(str(root)).load().classes == ("car", "train")


def test_classes_are_searched_to_any_depth_and_hidden_folders_passed_over(image_folder):
    root = image_folder({"a/x/y": 1, "b": 1, ".ipynb_checkpoints": 1, "b/.thumbs": 1, "__MACOSX": 1})
    (root / "b" / "notes.txt").write_text("no image")
    catalog = Folder(str(root)).load()
    assert catalog.samples == ["a/x/y/001.png", "b/002.png"]
    assert any("notes.txt" in note for note in catalog.notes)


def test_fingerprint_is_of_contents(image_folder, tmp_path):
    root = image_folder({"a": 2, "b": 2})
    fingerprint = Folder(str(root)).load().fingerprint()
    copy = tmp_path / "elsewhere"
    shutil.copytree(root, copy)
    os.utime(copy / "a" / "001.png", (0, 0))
    assert Folder(str(copy)).load().fingerprint() == fingerprint
    shutil.move(copy / "a" / "001.png", copy / "b" / "001.png")
    assert Folder(str(copy)).load().fingerprint() != fingerprint


def test_images_without_folders_are_unlabelled(image_folder):
    catalog = Folder(str(image_folder({".": 3}))).load()
    assert len(catalog) == 3
    assert not catalog.labelled


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ({}, "does not exist"),
        ({".": 0}, "holds no images"),
        ({"a": 3}, "one class only (a)"),
        ({"a": 3, "b": 0}, "class b is empty"),
        (
            {"train/a": 2, "train/b": 2, "test/c": 1},
            "class c has images to validate or test on but none in train",
        ),
        ({"test/a": 2, "test/b": 2}, "no train folder"),
        ({"train/a": 1, "train/b": 1, "val/a": 1, "valid/a": 1}, "could each be the val split"),
        ({"train": 0, "val/a": 1, "val/b": 1}, "holds no class folders"),
    ],
)
def test_refusals(image_folder, counts, says):
    root = image_folder(counts)
    with pytest.raises(DataError) as error:
        Folder(str(root)).load().usable()
    assert says in str(error.value)
    assert str(root) in str(error.value)


def test_all_problems_are_told_at_once(image_folder):
    catalog = Folder(str(image_folder({"a": 3, "b": 0, "c": 0}))).load()
    assert catalog.classes == ("a", "b", "c")
    with pytest.raises(DataError) as error:
        catalog.usable()
    assert [word in str(error.value) for word in ("class b", "class c", "one class only (a)")] == [True] * 3


def test_misspelt_root_gets_a_suggestion(image_folder):
    root = image_folder({"a": 1, "b": 1})
    with pytest.raises(DataError, match=r"Did you mean .*photos\?"):
        Folder(str(root.parent / "fotos")).load()


def test_a_file_is_not_a_folder(image_folder):
    root = image_folder({"a": 1, "b": 1})
    with pytest.raises(DataError, match="is a file"):
        Folder(str(root / "a" / "001.png")).load()


def test_links_out_of_the_root_and_loops_are_refused(image_folder, tmp_path):
    root = image_folder({"a": 1, "b": 1})
    outside = image_folder({"c": 1}, root="outside")
    link = root / "b" / "link.png"
    link.symlink_to(outside / "c" / "001.png")
    with pytest.raises(DataError, match=r"link\.png is a symbolic link out of data\.root"):
        Folder(str(root)).load()
    link.unlink()
    (root / "c").symlink_to(outside / "c")
    with pytest.raises(DataError, match="symbolic link out of"):
        Folder(str(root)).load()
    (root / "c").unlink()
    (root / "a" / "again").symlink_to(root)
    with pytest.raises(DataError, match="a loop"):
        Folder(str(root)).load()
    (root / "a" / "again").unlink()
    (root / "a" / "gone.png").symlink_to(root / "nothing.png")
    with pytest.raises(DataError, match="symbolic link to nothing"):
        Folder(str(root)).load()


def test_the_root_itself_may_be_a_link(image_folder, tmp_path):
    root = image_folder({"a": 1, "b": 1})
    (tmp_path / "link").symlink_to(root)
    assert len(Folder(str(tmp_path / "link")).load()) == 2
