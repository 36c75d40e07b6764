"""The `data` section of a config: plain values, nothing is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from transferlab.config.bounds import (
    Above,
    AtLeast,
    AtMost,
    Below,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)
from transferlab.config.instantiation import require
from transferlab.data.augmentation.albumentations_file import AlbumentationsFile
from transferlab.data.augmentation.pipeline import Augmentation
from transferlab.data.catalog.catalog import CatalogSource
from transferlab.data.mixing.batch import Mixing

_HeldOut = Annotated[float, Above(0), Below(1)]


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Samples, their splits and their batches; `arrange` reads them, `Batches` serves them.

    `conf/data/loading/default.yaml` describes the arguments. `root` is a place for `${data.root}` in configs,
    not read here. Training labels of `target` are dropped at once.
    """

    root: str | None
    source: CatalogSource
    target: CatalogSource | None
    augmentation: Augmentation | AlbumentationsFile
    mixing: Mixing
    batch_size: PositiveInt = 64
    target_batch_size: PositiveInt | None = None
    num_workers: NonNegativeInt | Literal["auto"] = "auto"
    image_size: PositiveInt | None = None
    shots_per_class: PositiveInt | None = None
    fraction: Annotated[float, Above(0), AtMost(1)] | None = None
    shots_seed: int = 0
    val_fraction: _HeldOut = 0.2
    test_fraction: _HeldOut = 0.2
    split_seed: int = 0
    fold: NonNegativeInt | None = None
    num_folds: Annotated[int, AtLeast(2)] = 5
    on_leak: Literal["error", "drop"] = "error"
    check_images: bool = True
    on_bad_image: Literal["error", "skip", "quarantine"] = "error"
    verify: Literal["index", "contents"] = "index"
    cache: Literal["none", "decoded"] = "none"
    cache_gib: PositiveFloat = 20.0
    sampling: Literal["uniform", "balanced"] = "uniform"
    steps_per_epoch: PositiveInt | None = None

    def __post_init__(self) -> None:
        require(self.source, "data.source", CatalogSource)
        if self.target is not None:
            require(self.target, "data.target", CatalogSource)
