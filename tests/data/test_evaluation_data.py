"""Which samples a model that exists is evaluated on, and under which names its classes are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from transferlab.data.augmentation.pipeline import Augmentation
from transferlab.data.catalog.folder import Folder
from transferlab.data.data_error import DataError
from transferlab.data.data_settings import DataSettings
from transferlab.data.evaluation_data import evaluation_loader, other_splits, with_classes
from transferlab.data.image.preprocessing import Preprocessing
from transferlab.data.mixing.batch import Mixing


def photos(root: str, *classes: str, each: int = 3) -> str:
    for place, name in enumerate(classes):
        for number in range(each):
            file = Path(root) / name / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 8, 3), 10 * place + number, np.uint8)).save(file)
    return root


def settings(source: str, target: str | None = None) -> DataSettings:
    return DataSettings(
        root=None,
        source=Folder(source),
        target=None if target is None else Folder(target),
        augmentation=Augmentation(),
        mixing=Mixing(),
    )


def test_all_images_with_the_codes_of_the_model():
    found, notes = other_splits(settings(photos("photos", "dog", "cat")), ("ant", "cat", "dog"))
    assert list(found) == ["test"]
    assert found["test"].classes == ("ant", "cat", "dog")
    by_name = dict(zip(found["test"].samples, found["test"].codes.tolist(), strict=True))
    assert by_name == {f"{name}/{n}.png": code for name, code in (("cat", 1), ("dog", 2)) for n in range(3)}
    assert notes == []


def test_the_datas_own_test_split_where_it_has_one():
    for part in ("train", "test"):
        photos("photos", f"{part}/cat", f"{part}/dog", each=3 if part == "train" else 2)
    found, notes = other_splits(settings("photos"), ("cat", "dog"))
    assert all(sample.startswith("test/") for sample in found["test"].samples)
    assert len(found["test"]) == 4
    assert notes == ["test: of 10 images the 4 of the data's own test split."]


def test_two_domains():
    photos("plain", "cat", "dog")
    photos("drawn", "cat", "dog", each=4)
    found, _ = other_splits(settings("plain", "drawn"), ("cat", "dog"))
    assert {part: len(catalog) for part, catalog in found.items()} == {"test": 8, "source_test": 6}


def test_unknown_classes_are_named():
    with pytest.raises(DataError, match=r"The model does not know cow, dog\. It knows ant, cat\."):
        other_splits(settings(photos("photos", "cat", "cow", "dog")), ("ant", "cat"))


def test_images_without_labels_stay_without():
    catalog = with_classes(Folder(photos("photos", "")).load(), ("ant", "cat"))
    assert catalog.codes.tolist() == [-1] * 3


def test_batches_in_order():
    found, _ = other_splits(settings(photos("photos", "cat", "dog")), ("cat", "dog"))
    preprocessing = Preprocessing(
        image_size=8, mean=(0, 0, 0), std=(1, 1, 1), interpolation="bilinear", crop_pct=1.0
    )
    batches = list(evaluation_loader(found["test"], preprocessing, batch_size=4, num_workers=0))
    assert [batch["index"].tolist() for batch in batches] == [[0, 1, 2, 3], [4, 5]]
    assert torch.cat([batch["label"] for batch in batches]).tolist() == [0, 0, 0, 1, 1, 1]
    assert torch.cat([batch["image"] for batch in batches])[:, 0, 0, 0].tolist() == [0, 1, 2, 10, 11, 12]
