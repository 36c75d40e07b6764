"""Two folders as two domains: classes in one of them only, sizes that differ, images in both."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from tests.data.conftest import write_image

from transferlab.data.catalog.digits import Digits
from transferlab.data.catalog.digits_on_photos import DigitsOnPhotos
from transferlab.data.catalog.folder import Folder
from transferlab.data.catalog.table import Table
from transferlab.data.data_error import DataError
from transferlab.data.splits import UNLABELLED, Split, arrange


@pytest.fixture
def domains(tmp_path):
    """`domains({"a": 5}, {"a": 7})` makes two folders with so many pictures a class, all different."""

    def make(source: dict[str, int], target: dict[str, int]) -> dict[str, Folder]:
        seed = 0
        for root, counts in (("source", source), ("target", target)):
            for name, num in counts.items():
                for _ in range(num):
                    seed += 1
                    write_image(tmp_path / root / name / f"{seed:04d}.png", seed)
        return {root: Folder(str(tmp_path / root)) for root in ("source", "target")}

    return make


def test_unequal_sizes(domains, make_batches):
    """A step takes as many of each domain as it should, whichever is the larger; an epoch is the source's."""
    for source, target in ((60, 10), (10, 60)):
        folders = domains({"a": source, "b": source}, {"a": target, "b": target})
        data = make_batches(**folders, batch_size=6, target_batch_size=4)
        batches = list(data.train())
        assert len(batches) == len(data.splits["train"]) // 6
        for batch in batches:
            assert batch["image"].shape[0] == batch["label"].shape[0] == 6
            assert batch["target_image"].shape[0] == 4
        for folder in folders.values():
            shutil.rmtree(folder.root)


def test_a_small_target_comes_again_and_again_and_evenly(domains, make_batches):
    data = make_batches(**domains({"a": 60, "b": 60}, {"a": 5, "b": 5}), batch_size=6, target_batch_size=4)
    assert len(data.splits["target_train"]) == 6
    seen = [batch["target_image"].flatten(1) for batch in data.train()]
    images = [image.numpy().tobytes() for batch in seen for image in batch]
    counts = {image: images.count(image) for image in images}
    assert len(counts) == 6
    assert set(counts.values()) <= {len(images) // 6, len(images) // 6 + 1}


def test_steps_an_epoch_are_what_one_asks_for(domains, make_batches):
    folders = domains({"a": 10, "b": 10}, {"a": 30, "b": 30})
    data = make_batches(**folders, batch_size=4, steps_per_epoch=9)
    assert len(list(data.train())) == 9


def test_classes_of_the_source_alone_are_told(domains, make_batches):
    data = make_batches(**domains({"a": 5, "b": 5, "c": 5}, {"a": 5, "c": 5}))
    assert data.splits.classes == ("a", "b", "c")
    assert data.splits["test"].catalog.class_counts.tolist() == [1, 0, 1]
    assert "The target has no images of b: the source alone has these classes." in data.splits.notes
    assert not [
        note
        for note in make_batches(**domains({"a": 5, "b": 5}, {"a": 5, "b": 5})).splits.notes
        if "target" in note
    ]


def test_classes_of_the_target_alone_are_refused(domains, make_batches):
    folders = domains({"a": 5, "b": 5}, {"a": 5, "b": 5, "c": 5, "d": 5})
    with pytest.raises(DataError, match=r"classes that the source lacks: c, d\. The source has a, b"):
        make_batches(**folders)


def test_a_domain_is_not_adapted_to_itself(domains, make_batches):
    source = domains({"a": 5, "b": 5}, {})["source"]
    with pytest.raises(DataError, match="All 10 images of the target are images of the source, too"):
        make_batches(source=source, target=source)


FACTS = {  # domain, trained on, reported, labelled
    "train": ("source", True, False, True),
    "val": ("source", False, True, True),
    "test": ("target", False, True, True),
    "source_test": ("source", False, True, True),
    "target_train": ("target", True, False, False),
    "target_val": ("target", False, False, True),
}


def facts(splits):
    return {
        name: (split.domain, split.trained_on, split.reported, split.labelled)
        for name, split in splits.items()
    }


def test_facts(make_batches, domains, tmp_path):
    splits = make_batches(target=DigitsOnPhotos()).splits
    assert facts(splits) == FACTS
    assert list(splits) == list(FACTS)
    assert splits.reported == ["val", "test", "source_test"]
    assert [split.name for split in splits.trained_on] == ["train", "target_train"]
    assert splits.label_kind == "class"
    alone = make_batches().splits
    assert facts(alone) == {**{name: FACTS[name] for name in ("train", "val")}, "test": FACTS["source_test"]}
    assert alone.reported == ["val", "test"]
    folders = domains({"a": 5, "b": 5}, {".": 3})
    unlabelled = make_batches(**folders).splits
    assert facts(unlabelled) == {
        **{name: FACTS[name] for name in ("train", "val", "source_test", "target_train")},
        "test": ("target", False, True, False),
    }


def test_no_target_split_that_is_trained_on_can_hold_a_label(make_batches):
    splits = make_batches(target=DigitsOnPhotos()).splits
    one_label = splits["target_val"].catalog
    one_label = replace(one_label, table=one_label.table.assign(label=[1] + [None] * (len(one_label) - 1)))
    for catalog in (splits.domains[1], one_label):
        with pytest.raises(AssertionError, match="target labels in training"):
            Split("anything", catalog, "target", trained_on=True)
    with pytest.raises(AssertionError, match="target labels in training"):
        replace(splits["target_train"], catalog=splits["target_val"].catalog)


@pytest.mark.parametrize("kind", ["arrays", "files", "decoded"])
def test_splits_are_values(make_batches, image_folder, own_cache, kind):
    options = {"cache": "decoded" if kind == "decoded" else "none"}
    source = Digits() if kind == "arrays" else Folder(str(image_folder({"a": 5, "b": 5})))
    splits = make_batches(source=source, **options).splits
    again = pickle.loads(pickle.dumps(splits))
    assert again.fingerprint() == splits.fingerprint()
    assert again.counts() == splits.counts()
    assert again.notes == splits.notes
    assert again.table().equals(splits.table())
    one, other = splits["val"].catalog, again["val"].catalog
    assert type(one.reader) is type(other.reader)
    for sample in one.samples:
        np.testing.assert_array_equal(one.reader(sample), other.reader(sample))
    with pytest.raises(FrozenInstanceError):
        splits.notes = ()
    with pytest.raises(KeyError):
        splits["target_train"]


def test_one_image_in_two_classes_is_noted(domains, make_batches, tmp_path):
    folder = domains({"a": 6, "b": 6}, {})["source"]
    assert not any("several classes" in note for note in make_batches(source=folder).splits.notes)
    shutil.copy(tmp_path / "source" / "a" / "0001.png", tmp_path / "source" / "b" / "copy.png")
    [note] = [note for note in make_batches(source=folder).splits.notes if "several classes" in note]
    assert note.startswith("1 image is in several classes, byte for byte the same: a/0001.png = b/copy.png.")


def test_the_images_without_a_class_are_named(tmp_path, make_batches):
    lines = ["path,label"]
    for number in range(8):
        write_image(tmp_path / f"{number}.png", number)
        lines.append(f"{number}.png,{'' if number in (3, 6) else 'ab'[number % 2]}")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"2 of 8 images have no class, e\.g\. 3\.png, 6\.png\. Fix: "):
        make_batches(source=Table(str(tmp_path / "t.csv")))


def test_domains_without_classes_can_be_compared(tmp_path, make_batches, domains):
    for number in range(5):
        write_image(tmp_path / "flat" / f"{number}.png", 100 + number)
    flat, classes = Folder(str(tmp_path / "flat")), domains({"a": 4, "b": 4}, {})["source"]
    with pytest.raises(DataError, match="5 of 5 images have no class"):
        make_batches(source=flat, target=classes)
    settings = make_batches(source=classes, target=flat).settings
    splits = arrange(replace(settings, source=flat, target=classes), needs_labels=False)
    assert {split.name: len(split) for split in splits.trained_on} == {"train": 5, "target_train": 8}
    assert splits.classes == (UNLABELLED,)
