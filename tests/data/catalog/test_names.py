from __future__ import annotations

import os
import subprocess
import sys

import pytest

from transferlab.data.catalog.names import (
    class_name,
    notes_on_names,
    ordered_classes,
    sample_names,
    split_of,
    split_within,
)
from transferlab.data.data_error import DataError


def test_a_class_has_one_spelling():
    assert {class_name(text) for text in ("dog", " dog", "dog\t", "dog\n")} == {"dog"}
    assert class_name("cafe\u0301") == "caf\u00e9"
    assert class_name("two\nlines") == "two lines"
    assert class_name("\x1b[2Jcat") == "\\x1b[2Jcat"


def test_the_order_of_classes_does_not_depend_on_the_hash_seed():
    code = (
        "from transferlab.data.catalog.names import ordered_classes as o; print(o('1 01 001 2 10'.split()))"
    )
    orders = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert orders == {"('001', '01', '1', '2', '10')\n"}
    assert ordered_classes(["b", "1", "a", ""]) == ("1", "a", "b")


def test_names_that_are_nearly_the_same_are_noted():
    [note] = notes_on_names(["Cat", "cat", "dog"], "t.csv")
    assert "t.csv: classes Cat, cat are alike but for upper and lower case" in note
    [note] = notes_on_names(["1", "01", "2"], "t.csv")
    assert "classes 01, 1 are equal as numbers" in note
    [note] = notes_on_names(["caf\u00e9", "cafe\u0301"], "photos")
    assert "class caf\u00e9 is written in 2 ways ('caf\\xe9', 'cafe\\u0301'): taken as one" in note
    assert notes_on_names(["cat", "dog", "", "10", "11"], "t.csv") == []


def test_files_whose_names_cannot_be_printed():
    names, odd = sample_names(["a/1.png", "a/b\n.png", "a/caf\udce9.png"])
    assert names == ["a/1.png", "a/b\\n.png", "a/caf\\xe9.png"]
    assert odd == {"a/b\\n.png": "a/b\n.png", "a/caf\\xe9.png": "a/caf\udce9.png"}
    with pytest.raises(DataError, match="Different files are all called"):
        sample_names(["caf\udce9.png", "caf\\xe9.png"])


SPLITS = {
    "train": ["train", "Train", "TRAINING", "training_set", "Train Images", "trainset", "TrainData", "trn"],
    "val": ["val", "valid", "VALIDATION", "dev", "val_set", "validation-data", "01_val"],
    "test": ["test", "Testing", "test_set", "testset", "tst", "test images"],
}


@pytest.mark.parametrize(("split", "names"), SPLITS.items(), ids=SPLITS)
def test_names_of_splits(split, names):
    assert [split_of(name) for name in names] == [split] * len(names)


@pytest.mark.parametrize(
    "name", ["trainer", "test tube", "validator", "train_test", "data", "cat", "seg_train"]
)
def test_names_that_are_no_split(name):
    assert split_of(name) is None


def test_splits_among_other_words():
    assert [split_within(name) for name in ("seg_train", "flowers-test", "CarsVal", "train_test", "cat")] == [
        "train",
        "test",
        "val",
        None,
        None,
    ]
