from __future__ import annotations

import io
import json

import cv2
import numpy as np
import pytest
from PIL import Image

from transferlab.data.augmentation.pipeline import Augmentation
from transferlab.data.catalog.digits import Digits
from transferlab.data.catalog.digits_on_photos import DigitsOnPhotos
from transferlab.data.catalog.folder import Folder
from transferlab.data.catalog.table import Table
from transferlab.data.data_settings import DataSettings
from transferlab.data.inspection import inspect_data
from transferlab.data.mixing.batch import Mixing
from transferlab.data.similarity import (
    look_alike_by_nature,
    perceptual_hash,
    similar_pairs,
    thumbnail,
)
from transferlab.report.inspection_page import as_html, as_text


def settings(source, target=None, **options):
    return DataSettings(
        root=None, source=source, target=target, augmentation=Augmentation(), mixing=Mixing(), **options
    )


def scene(seed: int, size: int = 200) -> np.ndarray:
    """Something photo-like: smooth colours."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)


def recompressed(pixels: np.ndarray, size: int, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).resize((size, size)).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def test_copies_that_look_alike_are_found_and_others_not():
    scenes = [scene(seed) for seed in range(60)]
    copies = [recompressed(scenes[0], 120, 40), recompressed(scenes[7], 300, 70)]
    images = scenes + copies
    hashes = np.array([perceptual_hash(image) for image in images], dtype=np.uint64)
    pairs = similar_pairs(hashes, np.stack([thumbnail(image, 16) for image in images]))
    assert pairs.tolist() == [[0, 60], [7, 61]]


def all_pairs(hashes: np.ndarray, thumbnails: np.ndarray) -> list[list[int]]:
    """The pairs of `similar_pairs`, by comparing all with all."""
    grey = thumbnails.astype(int)
    return [
        [i, j]
        for i in range(len(hashes))
        for j in range(i + 1, len(hashes))
        if (int(hashes[i]) ^ int(hashes[j])).bit_count() <= 6 and abs(grey[i] - grey[j]).mean() <= 8
    ]


@pytest.mark.parametrize("num_equal", [0, 150, 300])
@pytest.mark.parametrize("most_flips", [0, 8])
def test_bands_miss_no_pair(monkeypatch, num_equal, most_flips):
    """Among hashes of which many are equal or near, and thumbnails of which some are."""
    monkeypatch.setattr("transferlab.data.similarity._PORTION", 1000)  # pairs of two values are divided, too
    rng = np.random.default_rng(num_equal)
    values = rng.integers(0, 2**64, 300, dtype=np.uint64)
    values[:num_equal] = values[0]
    for row in range(0, 300, 3):
        flips = rng.choice(64, rng.integers(0, most_flips + 1), replace=False)
        values[row + 1] = values[row] ^ np.uint64(sum(1 << int(bit) for bit in flips))
    order = rng.permutation(300)
    thumbnails = rng.integers(0, 12, (300, 1, 1), dtype=np.uint8).repeat(4, 1).repeat(4, 2)
    expected = all_pairs(values[order], thumbnails)
    assert similar_pairs(values[order], thumbnails).tolist() == expected
    assert len(expected) > 30


@pytest.mark.parametrize("num", [0, 1])
def test_no_images_have_no_copies(num):
    assert similar_pairs(np.zeros(num, np.uint64), np.zeros((num, 4, 4), np.uint8)).shape == (0, 2)


def test_a_sound_folder(image_folder):
    inspection = inspect_data(settings(Folder(str(image_folder({"a": 10, "b": 60})))))
    (report,) = inspection.domains
    assert inspection.problems == []
    assert report.classes == {"a": 10, "b": 60}
    assert report.imbalance_ratio == 6.0
    assert any("6.0 times" in warning for warning in report.warnings)
    assert report.width_px == {"smallest": 12, "median": 12, "largest": 12}
    assert report.height_px["median"] == 10
    assert report.modes == {"RGB": 70}
    assert report.splits == {"train": {"a": 6, "b": 36}, "val": {"a": 2, "b": 12}, "test": {"a": 2, "b": 12}}
    assert json.loads(json.dumps(inspection.as_json()))["domains"][0]["formats"] == {"PNG": 70}
    text = as_text(inspection)
    assert "70 images in 2 classes, the largest 6.0 times the smallest" in text
    assert "No problems" in text
    page = as_html(inspection)
    assert page.count("<img") == 16
    assert "http" not in page


def test_everything_that_can_be_wrong_is_told(image_folder):
    root = image_folder({"train/a": 4, "train/b": 4, "test/a": 2, "test/b": 2, "train/c": 0})
    (root / "test" / "a" / "copy.png").write_bytes((root / "train" / "a" / "001.png").read_bytes())
    (root / "train" / "b" / "double.png").write_bytes((root / "train" / "a" / "002.png").read_bytes())
    (root / "train" / "b" / "broken <1>.jpg").write_bytes(b"?")
    Image.fromarray(scene(1)).save(root / "train" / "b" / "scene.png")
    Image.fromarray(recompressed(scene(1), 150, 60)).save(root / "test" / "a" / "scene.png")
    inspection = inspect_data(settings(Folder(str(root))))
    (report,) = inspection.domains
    problems = "\n".join(inspection.problems)
    assert "class c is empty" in problems
    assert "test: test/a/copy.png = train: train/a/001.png" in problems
    assert report.classes["c"] == 0
    assert list(report.broken) == ["train/b/broken <1>.jpg"]
    assert report.duplicates == [
        ["train/a/001.png", "test/a/copy.png"],
        ["train/a/002.png", "train/b/double.png"],
    ]
    assert report.near_duplicates == [["train/b/scene.png", "test/a/scene.png"]]
    warnings = "\n".join(report.warnings)
    assert (
        "train/a/002.png, train/b/double.png are byte for byte the same but are of different classes"
        in warnings
    )
    assert "train/b/scene.png, test/a/scene.png look alike but are in different splits" in warnings
    assert "Problems:" in as_text(inspection)
    assert "broken &lt;1&gt;.jpg" in as_html(inspection)


def test_patients_in_two_splits_are_a_problem(image_folder):
    root = image_folder({".": 6})
    lines = [f"{n:03d}.png,{'xy'[n % 2]},{'train' if n < 4 else 'test'},p{n // 2}" for n in range(1, 7)]
    (root / "t.csv").write_text("\n".join(["path,label,part,patient", *lines[:4], "005.png,y,test,p1"]))
    source = Table(str(root / "t.csv"), split_column="part", group_column="patient")
    inspection = inspect_data(settings(source))
    assert any("in two splits at once" in problem for problem in inspection.problems)
    assert inspection.domains[0].num_groups == 3


@pytest.mark.parametrize("counts", [{"a": 3}, {".": 0}, {"a": 2, "b": 30}])
def test_what_cannot_be_trained_on_is_a_problem_not_an_exception(image_folder, counts):
    inspection = inspect_data(settings(Folder(str(image_folder(counts)))))
    assert len(inspection.problems) == 1
    as_html(inspection)


def test_images_without_classes(image_folder):
    source = image_folder({"a": 9, "b": 9}, root="source")
    loose = image_folder({".": 4}, root="loose")
    assert "4 of 4 images have no class" in inspect_data(settings(Folder(str(loose)))).problems[0]
    inspection = inspect_data(settings(Folder(str(source)), Folder(str(loose))))
    assert inspection.problems == []
    assert inspection.domains[1].num_images == 4


def test_a_root_that_is_missing():
    inspection = inspect_data(settings(Folder("/no/such/folder")))
    assert "does not exist" in inspection.problems[0]
    assert "does not exist" in as_text(inspection)


def test_two_domains():
    inspection = inspect_data(settings(Digits(), DigitsOnPhotos()))
    assert inspection.problems == []
    assert [report.name for report in inspection.domains] == ["source", "target"]
    assert inspection.domains[1].width_px["largest"] == 32


def test_drawings_that_all_look_alike_are_not_taken_for_copies(monkeypatch):
    """Found by a part of them; a few copies among many different images are still found."""
    monkeypatch.setattr("transferlab.data.similarity.LOOKED_AT_FIRST", 200)
    generator = np.random.default_rng(0)
    alike = np.zeros(1000, dtype=np.uint64), np.zeros((1000, 16, 16), dtype=np.uint8)
    assert look_alike_by_nature(*alike)
    hashes = generator.integers(2**63, size=1000, dtype=np.uint64)
    hashes[:40] = hashes[0]
    thumbnails = generator.integers(256, size=(1000, 16, 16), dtype=np.uint8)
    thumbnails[:40] = thumbnails[0]
    assert not look_alike_by_nature(hashes, thumbnails)
    assert len(similar_pairs(hashes, thumbnails)) == 40 * 39 // 2
