"""Folders of images that are laid out otherwise: splits, folders around them, folders that are no classes."""

from __future__ import annotations

import shutil

import pytest

from transferlab.data.catalog.folder import Folder
from transferlab.data.data_error import DataError

SPLITS = {
    "sets": ({"training_set": 4, "test_set": 2}, {"train": 8, "test": 4}),
    "Capitals": ({"TRAINING": 4, "Valid": 2, "Testing": 2}, {"train": 8, "val": 4, "test": 4}),
    "among other words": ({"seg_train": 4, "seg_test": 2}, {"train": 8, "test": 4}),
    "in folders of their own names": (
        {"seg_train/seg_train": 4, "seg_test/seg_test": 2},
        {"train": 8, "test": 4},
    ),
    "dev": ({"train": 4, "dev": 2}, {"train": 8, "val": 4}),
    "with words": ({"flowers train images": 4, "flowers val images": 2}, {"train": 8, "val": 4}),
}


@pytest.mark.parametrize(("counts", "sizes"), SPLITS.values(), ids=SPLITS)
def test_split_folders(image_folder, counts, sizes):
    root = image_folder(
        {f"{split}/{name}": num for split, num in counts.items() for name in ("cats", "dogs")}
    )
    catalog = Folder(str(root)).load().usable()
    assert catalog.classes == ("cats", "dogs")
    assert catalog.table["split"].value_counts().to_dict() == sizes


def test_splits_by_other_names_are_said(image_folder):
    root = image_folder({"seg_train/a": 1, "seg_train/b": 1, "seg_test/a": 1, "seg_pred": 1})
    notes = " ".join(Folder(str(root)).load().notes)
    assert "folders taken as splits: seg_train as train, seg_test as test" in notes
    assert "ignored seg_pred" in notes


def test_classes_may_be_called_like_splits(image_folder):
    assert Folder(str(image_folder({"steam_train": 2, "test_tube": 2}))).load().classes == (
        "steam_train",
        "test_tube",
    )


@pytest.mark.parametrize("depth", ["photos", "data/photos", "a/b/c/d"])
@pytest.mark.parametrize("inner", [("cat", "dog"), ("train/cat", "train/dog", "test/cat", "test/dog")])
def test_a_folder_around_the_data(image_folder, depth, inner):
    root = image_folder({f"{depth}/{name}": 2 for name in inner})
    with pytest.raises(DataError) as error:
        Folder(str(root)).load().usable()
    within = f"{root}/{depth}"
    assert f"Did you mean data.root={within}?" in str(error.value)
    assert Folder(within).load().usable().classes == ("cat", "dog")


def test_folders_of_the_same_names_in_every_class(image_folder):
    root = image_folder({f"{outer}/{name}": 2 for outer in ("one", "two") for name in ("cat", "dog")})
    with pytest.raises(DataError, match=r"one, two each hold folders of the same names \(cat, dog\)"):
        Folder(str(root)).load().usable()
    shutil.move(root / "two" / "dog", root / "two" / "bird")
    assert Folder(str(root)).load().usable().classes == ("one", "two")


def test_a_class_in_the_test_split_by_another_spelling(image_folder):
    root = image_folder({"train/Cat": 2, "train/dog": 2, "test/cat": 1, "test/dog": 1})
    with pytest.raises(DataError, match=r"class cat .* none in train\. Did you mean Cat\?"):
        Folder(str(root)).load().usable()
