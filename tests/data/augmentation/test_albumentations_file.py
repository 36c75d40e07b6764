from __future__ import annotations

import random
import sys

import numpy as np
import pytest
import torch

from transferlab.data.augmentation.albumentations_file import (
    AlbumentationsFile,
    AlbumentationsTransform,
    load_pipeline,
)
from transferlab.data.data_error import DataError
from transferlab.data.image.preprocessing import Preprocessing
from transferlab.data.loading.dataset import seeded

PHOTO = torch.randint(0, 256, (3, 10, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
PREPARED = Preprocessing(image_size=8)


def old_release(image):
    """Draws as releases before 2 did."""
    return {"image": image if random.random() < 0.5 else image[:, ::-1] // np.random.randint(1, 9)}


class NewRelease:
    """Draws as releases from 2 on do."""

    def set_random_seed(self, seed):
        self.rng = np.random.default_rng(seed)

    def __call__(self, image):
        return {"image": image // self.rng.integers(1, 9, dtype=np.uint8)}


@pytest.mark.parametrize("pipeline", [old_release, NewRelease()])
def test_a_function_of_torchs_seed_that_leaves_other_generators_alone(pipeline):
    transform = AlbumentationsTransform(pipeline, "f.json", PREPARED)

    def changed(seed):
        with seeded(seed):
            return transform(PHOTO)

    random.seed(1)
    np.random.seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist()
    seen = [changed(seed) for seed in range(10)]
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    assert all(image.shape == (3, 8, 8) and image.dtype == torch.uint8 for image in seen)
    assert len({image.numpy().tobytes() for image in seen}) > 3
    assert torch.equal(changed(4), seen[4])


def test_floats_are_refused():
    transform = AlbumentationsTransform(lambda image: {"image": image / 255}, "f.json", PREPARED)
    with pytest.raises(DataError, match=r"f\.json gives ndarray of float64 instead of uint8"):
        transform(PHOTO)


def test_missing_file_and_library(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="is not a file"):
        AlbumentationsFile("/no/such.json").build(PREPARED)
    (tmp_path / "p.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "albumentations", None)
    with pytest.raises(DataError, match="pip install albumentations"):
        load_pipeline(str(tmp_path / "p.json"))


@pytest.mark.filterwarnings("ignore")
def test_a_real_pipeline(tmp_path):
    albumentations = pytest.importorskip("albumentations")
    pipeline = albumentations.Compose([albumentations.HorizontalFlip(p=1.0)])
    albumentations.save(pipeline, tmp_path / "p.json", data_format="json")
    transform = AlbumentationsFile(str(tmp_path / "p.json")).build(Preprocessing(image_size=10))
    plain = Preprocessing(image_size=10).evaluated
    assert torch.equal(transform(PHOTO), plain(PHOTO.flip(-1)))
