from __future__ import annotations

import numpy as np
import pytest
import torch

from transferlab.data.augmentation.pipeline import Augmentation
from transferlab.data.catalog.digits_on_photos import DigitsOnPhotos
from transferlab.data.catalog.folder import Folder
from transferlab.data.data_error import DataError
from transferlab.data.loading.dataset import InMemory
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
    assert data.splits["test"].catalog.samples == data.splits["target_train"].catalog.samples
    assert any("no labels" in note for note in data.splits.notes)


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


def numbered(num: int, start: float = 0.0) -> InMemory:
    """Rows that say which they are."""
    return InMemory(torch.arange(num)[:, None] + torch.tensor([start, start], dtype=torch.float16))


def test_activations_stand_in_for_images_in_other_batches(make_batches):
    images = make_batches(target=DigitsOnPhotos(), batch_size=32)
    counts = images.splits.counts()
    stored = {name: numbered(counts[name]) for name in ("train", "target_train", "val")}
    batches = images.with_stored(stored)
    assert batches is not images
    order = iter(batches.order(batches.seed))
    for raw in batches.train():
        keys = next(order)
        batch = batches.prepared(raw)
        assert set(raw) == set(batch) == {"input", "target_input", "label"}
        for name, domain in (("input", "source"), ("target_input", "target")):
            assert batch[name].dtype == torch.float32
            rows = torch.tensor([key.row for key in keys if key.domain == domain])
            assert torch.equal(batch[name][:, 0], numbered(2000).rows[rows, 0].float())
    assert set(batches.prepared(next(iter(batches.evaluation("val"))))) == {"input", "label", "index"}
    for name in ("test", "source_test"):
        assert "image" in next(iter(batches.evaluation(name)))
    assert set(next(iter(images.train()))) == {"image", "target_image", "label"}
    assert "image" in next(iter(images.evaluation("val")))


def test_other_settings_leave_the_first_alone(make_batches):
    batches = make_batches()
    other = batches.with_settings(batch_size=5, steps_per_epoch=3)
    assert len(other.train()) == 3
    assert next(iter(other.train()))["label"].shape == (5,)
    assert batches.settings.batch_size == 64
    assert len(batches.train()) == 1079 // 64
    assert other.splits is batches.splits


@pytest.mark.parametrize("views", [None, 2])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_group_code_rides_along(make_batches, views, workers):
    """A row per sample, for source and target; views of a sample have the same."""
    options = {
        "augmentation": Augmentation(brightness=0.5),
        "target": DigitsOnPhotos(),
        **{"shots_per_class": 20, "val_fraction": 0.05, "test_fraction": 0.05},
    }
    plain = make_batches(views=views, num_workers=workers, **options)
    codes = {name: InMemory(torch.arange(num) + 7) for name, num in plain.splits.counts().items()}
    del codes["test"]
    batches = plain.with_columns({"group": codes})
    for epoch in (1,) if workers else (0, 1):
        order = iter(batches.order(0, Share(lambda num_batches, epoch=epoch: Position(epoch))))
        for one, other in zip(training_batches(batches, epoch), training_batches(plain, epoch), strict=True):
            keys = next(order)
            assert one["group"].tolist() == [key.row + 7 for key in keys if key.domain == "source"]
            assert one["target_group"].tolist() == [key.row + 7 for key in keys if key.domain == "target"]
            assert all(torch.equal(one[key], other[key]) for key in other)  # all else is as without
            assert batches.prepared(one)["group"] is one["group"]
    for split in ("target_val",) if workers else ("train", "val", "target_val"):
        seen = torch.cat([batch["group"] for batch in batches.evaluation(split)])
        assert seen.tolist() == codes[split].rows.tolist()
    assert "group" not in next(iter(batches.evaluation("test")))
    assert plain.columns == {}


@pytest.mark.parametrize("name", ["label", "target_label", "input", "image", "index", "label_probabilities"])
def test_a_column_cannot_take_the_place_of_ours(make_batches, name):
    with pytest.raises(AssertionError):
        make_batches(columns={name: {}})


def test_rows_that_do_not_fit(make_batches):
    batches = make_batches(augmentation=Augmentation(brightness=0.5), views=2)
    for fits in (1079, 2 * 1079):
        batches.with_columns({"score": {"train": numbered(fits)}})
    for split, num in (("train", 1078), ("train", 3 * 1079), ("val", 2 * 359)):
        with pytest.raises(AssertionError):
            batches.with_columns({"score": {split: numbered(num)}})
    with pytest.raises(AssertionError):
        batches.with_stored({"train": numbered(1079)})  # one view of two
