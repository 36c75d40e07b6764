from __future__ import annotations

import numpy as np
import pytest

from transferlab.data.augmentation.pipeline import Augmentation
from transferlab.data.catalog.catalog import Catalog, catalog_table
from transferlab.data.catalog.digits import Digits
from transferlab.data.data_error import DataError
from transferlab.data.data_settings import DataSettings
from transferlab.data.image.reader import ArrayReader
from transferlab.data.mixing.batch import Mixing
from transferlab.data.splitting.split_rule import find_leaks, with_splits


def catalog(labels, splits=None, groups=None, contents=None):
    samples = [f"{row:03d}" for row in range(len(labels))]
    table = catalog_table(samples, labels, contents or samples, "d", groups=groups, splits=splits)
    classes = tuple("abcdef"[: max(labels) + 1])
    return Catalog(table, classes, ArrayReader(samples, lambda: np.zeros((len(samples), 1, 1, 3), np.uint8)))


def settings(**options):
    parts = {"source": Digits(), "target": None, "augmentation": Augmentation(), "mixing": Mixing()}
    return DataSettings(root=None, **parts, **options)


def splits_of(*args, rule=None, **options):
    return with_splits(catalog(*args, **options), rule or settings()).table["split"]


def test_fixed_splits_are_kept():
    splits = ["train", "val", "test"] * 4
    assert splits_of([0, 0, 0, 1, 1, 1] * 2, splits).tolist() == splits


def test_missing_splits_are_carved_from_train_and_said():
    given = catalog([0] * 50 + [1] * 50, ["train"] * 40 + ["test"] * 10 + ["train"] * 40 + ["test"] * 10)
    arranged = with_splits(given, settings(val_fraction=0.25))
    assert arranged.table["split"].value_counts().to_dict() == {"train": 60, "val": 20, "test": 20}
    assert (arranged.table["split"][40:50] == "test").all()
    assert arranged.notes == ("The data has no val split: 25% as val held out of train (split_seed 0).",)


def test_folds_test_every_sample_once():
    labels = [0] * 23 + [1] * 12 + [2] * 5
    tested = np.zeros(40, dtype=int)
    for fold in range(5):
        splits = splits_of(labels, rule=settings(fold=fold))
        assert set(splits) == {"train", "val", "test"}
        assert set(np.array(labels)[splits == "test"]) == {0, 1, 2}
        assert set(np.array(labels)[splits == "val"]) == {0, 1, 2}
        tested += (splits == "test").to_numpy()
    assert (tested == 1).all()


def test_folds_keep_groups_together():
    groups = [f"p{number // 3}" for number in range(60)]
    labels = [number // 3 % 2 for number in range(60)]
    for fold in range(4):
        splits = splits_of(labels, groups=groups, rule=settings(fold=fold, num_folds=4))
        assert (splits.groupby(groups).nunique() == 1).all()


def test_folds_of_fixed_splits_are_refused():
    with pytest.raises(DataError, match=r"data\.fold=0 divides a data set anew"):
        splits_of([0, 1] * 3, ["train", "train", "val", "val", "test", "test"], rule=settings(fold=0))


def test_a_class_with_too_few_images_for_the_folds():
    with pytest.raises(DataError, match=r"Too few images of b \(images: 4, apart: 4\)"):
        splits_of([0] * 10 + [1] * 4, rule=settings(fold=0))


LEAKY = {
    "a copy in val": {"contents": ["x", "y", "x", "z", "u", "v"]},
    "a patient in test": {"groups": ["p", None, None, None, "p", None]},
}


@pytest.mark.parametrize("options", LEAKY.values(), ids=LEAKY)
def test_leaks_across_fixed_splits_are_refused(options):
    splits = ["train", "train", "val", "val", "test", "test"]
    with pytest.raises(
        DataError, match=r"in two splits at once.*train: 000 = (val: 002|test: 004).*on_leak=drop"
    ):
        splits_of([0, 1] * 3, splits, **options)
    dropped = with_splits(catalog([0, 1] * 3, splits, **options), settings(on_leak="drop"))
    assert dropped.samples == ["001", "002", "003", "004", "005"]
    assert any("Dropped 1 samples" in note and "000" in note for note in dropped.notes)
    assert find_leaks(dropped.table).empty


def test_validation_on_the_training_images_is_refused():
    splits = ["train"] * 4 + ["val"] * 4 + ["test"] * 2
    contents = list("abcdabcdef")
    with pytest.raises(DataError, match="4 images or groups are in two splits"):
        splits_of([0, 1] * 5, splits, contents=contents)


def test_rows_without_a_split_are_refused():
    with pytest.raises(DataError, match=r"1 of 4 samples have no split, e\.g\. 003"):
        splits_of([0, 1, 0, 1], ["train", "train", "val", None])


def test_copies_stay_in_one_split():
    contents = [f"c{number // 2}" for number in range(40)]
    splits = splits_of([0, 0, 1, 1] * 10, contents=contents)
    assert (splits.groupby(contents).nunique() == 1).all()
