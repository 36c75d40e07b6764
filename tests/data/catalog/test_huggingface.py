"""Local data sets only; without the extra, the message that says so."""

from __future__ import annotations

import io
import os
import pickle
import sys

import numpy as np
import pytest
from PIL import Image

from transferlab.data.catalog import huggingface as module
from transferlab.data.catalog.huggingface import HuggingFace, split_names
from transferlab.data.data_error import DataError
from transferlab.data.image.file_facts import reading


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"pip install 'transferlab\[huggingface\]'"):
        HuggingFace("/no/such").load()


def test_part_names():
    assert split_names(["train"], "x") == {"train": None}
    assert split_names(["all"], "x") == {"all": None}
    assert split_names(["train", "validation", "Test"], "x") == {
        "train": "train",
        "validation": "val",
        "Test": "test",
    }
    with pytest.raises(DataError, match="no train, validation or test: unsupervised"):
        split_names(["train", "unsupervised"], "x")


@pytest.fixture
def datasets(tmp_path, monkeypatch):
    library = pytest.importorskip("datasets")
    monkeypatch.setattr(library.config, "HF_DATASETS_OFFLINE", True)
    monkeypatch.setattr(library.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    library.disable_progress_bars()
    return library


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (9, 11, 3), dtype=np.uint8)


def rows(datasets, seeds, labels, names=None):
    kind = datasets.Value("string") if names is None else datasets.ClassLabel(names=names)
    features = datasets.Features(
        {"image": datasets.Image(), "label": kind, "patient": datasets.Value("int64")}
    )
    images = [Image.fromarray(pixels(seed)) for seed in seeds]
    table = {"image": images, "label": labels, "patient": [seed // 2 for seed in seeds]}
    return datasets.Dataset.from_dict(table, features=features)


@pytest.mark.filterwarnings("ignore")
def test_one_split(datasets, tmp_path, make_batches):
    rows(datasets, range(12), [0, 1] * 6, ["dog", "cat"]).save_to_disk(tmp_path / "set")
    source = HuggingFace(str(tmp_path / "set"))
    catalog = source.load()
    assert catalog.classes == ("dog", "cat")
    assert catalog.class_counts.tolist() == [6, 6]
    assert catalog.samples[3] == "train/0000003"
    np.testing.assert_array_equal(catalog.reader("train/0000003"), pixels(3))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(catalog.reader))("train/0000005"), pixels(5))
    assert catalog.fingerprint() == source.load().fingerprint()
    data = make_batches(source=source, num_workers=1, batch_size=4)
    assert data.splits.counts() == {"train": 8, "val": 2, "test": 2}
    assert next(iter(data.train()))["image"].shape == (4, 3, 8, 8)


@pytest.mark.filterwarnings("ignore")
def test_rows_are_hashed_once_and_again_when_they_change(datasets, tmp_path, monkeypatch):
    hashed: list[bytes] = []
    plain = module.content_hash
    monkeypatch.setattr(module, "encoded_bytes", lambda cell: hashed.append(cell["bytes"]) or cell["bytes"])
    monkeypatch.setattr("transferlab.data.image.file_facts.RACY_NS", 0)  # files written a moment ago

    def contents(seeds) -> list[str]:
        rows(datasets, seeds, [0, 1] * 2, ["dog", "cat"]).save_to_disk(tmp_path / f"set {seeds}")
        return HuggingFace(str(tmp_path / f"set {seeds}")).load().table["content"].tolist()

    first = contents(range(4))
    assert first == [plain(content) for content in hashed]
    assert len(first) == 4
    again = HuggingFace(str(tmp_path / f"set {range(4)}"))
    assert again.load().table["content"].tolist() == first
    assert len(hashed) == 4
    assert contents(range(1, 5))[:3] == first[1:]
    assert len(hashed) == 8
    with reading(examines=False, verify="contents"):
        assert again.load().table["content"].tolist() == first
    assert len(hashed) == 12
    (data,) = (tmp_path / f"set {range(4)}").glob("*.arrow")
    os.utime(data, (1_600_000_000, 1_600_000_000))  # touched without the library
    assert again.load().table["content"].tolist() == first
    assert len(hashed) == 16


@pytest.mark.filterwarnings("ignore")
def test_given_splits_text_labels_and_groups(datasets, tmp_path):
    splits = {
        "train": rows(datasets, range(8), ["x", "y"] * 4),
        "test": rows(datasets, range(8, 12), ["x", "y"] * 2),
    }
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "set")
    catalog = HuggingFace(str(tmp_path / "set"), group_column="patient").load()
    assert catalog.table["split"].tolist() == ["train"] * 8 + ["test"] * 4
    assert catalog.table["group"].tolist()[:4] == ["0", "0", "1", "1"]
    assert catalog.classes == ("x", "y")


@pytest.mark.filterwarnings("ignore")
def test_broken_images_are_named(datasets, tmp_path, make_batches):
    file = io.BytesIO()
    Image.fromarray(pixels(0)).save(file, "PNG")
    good = [file.getvalue() + bytes([number]) for number in range(8)]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    table = {"image": [{"bytes": cell, "path": None} for cell in [*good, b"?"]], "label": list("xyxyxyxyx")}
    datasets.Dataset.from_dict(table, features=features).save_to_disk(tmp_path / "set")
    source = HuggingFace(str(tmp_path / "set"))
    with pytest.raises(DataError, match="set, train/0000008: not an image"):
        make_batches(source=source)
    assert sum(make_batches(source=source, on_bad_image="skip").splits.counts().values()) == 8
    with pytest.raises(DataError, match="Only files can be moved away"):
        make_batches(source=source, on_bad_image="quarantine")


@pytest.mark.filterwarnings("ignore")
def test_refusals(datasets, tmp_path):
    rows(datasets, range(4), ["x"] * 4).save_to_disk(tmp_path / "set")
    with pytest.raises(DataError, match="one class only"):
        HuggingFace(str(tmp_path / "set")).load().usable()
    with pytest.raises(DataError, match=r"no column photo \(data\.source\.image_column\)"):
        HuggingFace(str(tmp_path / "set"), image_column="photo").load()
    with pytest.raises(DataError, match="not images"):
        HuggingFace(str(tmp_path / "set"), image_column="patient").load()
    with pytest.raises(DataError, match="cannot be loaded"):
        HuggingFace(str(tmp_path / "nothing")).load()
