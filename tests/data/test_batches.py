from __future__ import annotations

import numpy as np
import pytest
import torch

from transferlab.data.augmentation.pipeline import Augmentation
from transferlab.data.catalog.digits_on_photos import DigitsOnPhotos
from transferlab.data.catalog.folder import Folder
from transferlab.data.errors import DataError
from transferlab.data.loading.sampler import Position, Share


def test_construction_reads_nothing(make_batches):
    with pytest.raises(DataError, match="does not exist"):
        make_batches(source=Folder("/no/such/folder"))


def test_digits(make_batches):
    data = make_batches()
    assert data.splits.counts() == {"train": 1079, "val": 359, "test": 359}
    assert data.splits.num_classes == 10
    assert data.splits.class_counts.sum() == 1079
    assert not data.splits.has_target
    batch = next(iter(data.train()))
    assert batch["image"].shape == (64, 3, 8, 8)
    assert batch["image"].dtype == torch.uint8
    assert batch["label"].dtype == torch.int64
    assert set(batch) == {"image", "label"}


def test_batches_hold_the_right_pixels_and_labels(make_batches):
    data = make_batches()
    table = data.splits["test"].catalog.table.set_index("sample")
    seen = []
    for batch in data.evaluation("test"):
        for image, label, index in zip(batch["image"], batch["label"], batch["index"], strict=True):
            sample = data.splits["test"].catalog.samples[index]
            assert table.loc[sample, "label"] == label
            pixels = data.splits["test"].catalog.reader(sample)
            np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), pixels)
            seen.append(int(index))
    assert seen == list(range(359))


def test_target_labels_never_reach_training(make_batches):
    data = make_batches(target=DigitsOnPhotos(), target_batch_size=16)
    for batch in data.train():
        assert set(batch) == {"image", "label", "target_image"}
        assert batch["target_image"].shape == (16, 3, 8, 8)
    assert data.splits["target_train"].catalog.table["label"].isna().all()
    assert "label" not in next(iter(data.evaluation("target_train")))
    assert "label" in next(iter(data.evaluation("test")))


def test_domains_split_alike(make_batches):
    data = make_batches(target=DigitsOnPhotos())
    assert data.splits["test"].catalog.samples == data.splits["source_test"].catalog.samples
    assert len(data.splits["target_train"]) == 1079
    table = data.splits.table()
    split = table.pivot(index="sample", columns="domain", values="split")
    assert (split["source"] == split["target"]).all()
    assert list(table.columns) == ["sample", "label", "group", "split", "domain"]


def test_shots_leave_the_rest_unused(make_batches):
    data = make_batches(shots_per_class=3)
    assert data.splits.class_counts.tolist() == [3] * 10
    assert data.splits.table()["split"].value_counts().to_dict() == {
        "unused": 1049,
        "val": 359,
        "test": 359,
        "train": 30,
    }
    assert len(data.train()) == 1
    assert next(iter(data.train()))["image"].shape[0] == 30


def test_fingerprint_depends_on_data_and_split(make_batches):
    assert make_batches().splits.fingerprint() == make_batches().splits.fingerprint()
    assert make_batches().splits.fingerprint() != make_batches(split_seed=1).splits.fingerprint()
    assert make_batches().splits.fingerprint() != make_batches(source=DigitsOnPhotos()).splits.fingerprint()


def training_batches(data, epoch=0, batch=0):
    return list(data.train(Share(lambda num_batches: Position(epoch, batch))))


def test_resume_in_an_epoch_gives_the_same_batches(make_batches):
    options = {"augmentation": Augmentation(min_crop_area=0.5, brightness=0.5), "target": DigitsOnPhotos()}
    whole = training_batches(make_batches(**options), epoch=2)
    rest = training_batches(make_batches(**options), epoch=2, batch=5)
    assert len(rest) == len(whole) - 5
    for one, other in zip(whole[5:], rest, strict=True):
        for key in one:
            assert torch.equal(one[key], other[key])


def test_epochs_and_seeds_differ(make_batches):
    first, second = training_batches(make_batches()), training_batches(make_batches(), epoch=1)
    assert not torch.equal(first[0]["label"], second[0]["label"])
    assert not torch.equal(first[0]["label"], training_batches(make_batches(seed=1))[0]["label"])


def test_workers_change_nothing(make_batches):
    options = {
        "augmentation": Augmentation(min_crop_area=0.5, horizontal_flip=0.5, policy="rand"),
        "target": DigitsOnPhotos(),
        "shots_per_class": 20,
    }
    alone = training_batches(make_batches(num_workers=0, **options))
    helped = training_batches(make_batches(num_workers=2, **options))
    assert len(alone) == len(helped) == 3
    for one, other in zip(alone, helped, strict=True):
        for key in one:
            assert torch.equal(one[key], other[key])


def test_the_global_generators_are_left_alone(make_batches):
    data = make_batches(augmentation=Augmentation(min_crop_area=0.5, policy="trivial"))
    torch.manual_seed(1)
    before = torch.get_rng_state()
    training_batches(data)
    list(data.evaluation("val"))
    assert torch.equal(torch.get_rng_state(), before)


def test_normalisation_happens_per_batch(make_batches):
    data = make_batches(target=DigitsOnPhotos())
    raw = next(iter(data.train()))
    batch = data.prepared(raw)
    for domain in ("", "target_"):
        images = raw[f"{domain}image"]
        assert images.dtype == torch.uint8
        torch.testing.assert_close(batch[f"{domain}input"], (images / 255 - 0.5) / 0.5)
        assert batch[f"{domain}image"] is batch[f"{domain}input"]
    assert batch["label"].dtype == torch.int64


def test_data_smaller_than_a_batch(make_batches, image_folder):
    root = image_folder({"a": 3, "b": 4})
    data = make_batches(source=Folder(str(root)), batch_size=64)
    assert data.splits.counts() == {"train": 3, "val": 2, "test": 2}
    (batch,) = list(data.train())
    assert len(batch["label"]) == 3


def test_unlabelled_target(make_batches, image_folder):
    source = image_folder({"a": 5, "b": 5}, root="source")
    target = image_folder({".": 7}, root="target")
    for path in target.iterdir():  # other pictures than the source's
        path.write_bytes((source / "a" / "001.png").read_bytes() + path.name.encode())
    data = make_batches(source=Folder(str(source)), target=Folder(str(target)))
    assert len(data.splits["target_train"]) == 7
    assert data.splits["test"].catalog.samples == data.splits["source_test"].catalog.samples
    assert any("no labels" in notice for notice in data.splits.notices)


def test_target_classes_get_the_sources_codes(make_batches, image_folder):
    source = image_folder({"a": 5, "b": 5, "c": 5}, root="source")
    target = image_folder({"c": 6, "b": 6}, root="target")
    for number, path in enumerate(sorted(target.rglob("*.png"))):
        path.write_bytes(path.read_bytes() + bytes([number]))
    data = make_batches(source=Folder(str(source)), target=Folder(str(target)))
    assert data.splits["test"].catalog.class_counts.tolist() == [0, 1, 1]
    (target / "b").rename(target / "x")
    with pytest.raises(DataError, match="classes that the source lacks: x"):
        make_batches(source=Folder(str(source)), target=Folder(str(target)))


def test_a_tested_target_image_must_not_be_a_labelled_source_image(make_batches, image_folder):
    source = image_folder({"a": 5, "b": 5}, root="source")
    parts = [f"{part}/{name}" for part in ("train", "val", "test") for name in "ab"]
    target = image_folder(dict.fromkeys(parts, 0), root="target")
    for folder in parts:
        (target / folder / "own.png").write_bytes((source / "a" / "001.png").read_bytes() + folder.encode())
    domains = {"source": Folder(str(source)), "target": Folder(str(target))}
    known = make_batches(**domains).splits["train"].catalog.samples[0]
    (target / "test" / "a" / "stray.png").write_bytes((source / known).read_bytes())
    with pytest.raises(DataError, match=f"images of the source, too: test/a/stray.png = {known}"):
        make_batches(**domains)
