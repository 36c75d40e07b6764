"""Small image folders and batches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from transferlab.data.augmentation.pipeline import Augmentation
from transferlab.data.batches import Batches
from transferlab.data.catalog.digits import Digits
from transferlab.data.data_settings import DataSettings
from transferlab.data.image.preprocessing import Preprocessing
from transferlab.data.mixing.batch import Mixing
from transferlab.data.splits import arrange


def write_image(path: Path, seed: int, size: tuple[int, int] = (12, 10)) -> Path:
    """A picture (width, height) of noise that no other seed gives."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is read from or left in the user's cache."""
    monkeypatch.setenv("TRANSFERLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def image_folder(tmp_path: Path) -> Callable[..., Path]:
    """`image_folder({"cat": 3, "train/dog": 4})` writes so many different pictures per folder."""

    def write(counts: dict[str, int], root: str = "photos") -> Path:
        seed = 0
        for folder, num in counts.items():
            (tmp_path / root / folder).mkdir(parents=True, exist_ok=True)
            for _ in range(num):
                seed += 1
                write_image(tmp_path / root / folder / f"{seed:03d}.png", seed)
        return tmp_path / root

    return write


@pytest.fixture
def make_batches() -> Callable[..., Batches]:
    """Batches of digits without augmentation unless said otherwise."""

    def make(
        image_size_px: int = 8, seed: int = 0, views: int | None = None, columns: Any = None, **options: Any
    ) -> Batches:
        defaults = {
            "root": None,
            "source": Digits(),
            "target": None,
            "augmentation": Augmentation(),
            "mixing": Mixing(),
            "num_workers": 0,
        }
        settings = DataSettings(**{**defaults, **options})
        preprocessing = Preprocessing(image_size=image_size_px)
        return Batches(arrange(settings), settings, preprocessing, seed=seed, views=views, columns=columns)

    return make
