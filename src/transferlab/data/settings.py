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
from transferlab.data.augmentation.albumentations_file import AlbumentationsFile
from transferlab.data.augmentation.pipeline import Augmentation
from transferlab.data.catalog.catalog import CatalogSource
from transferlab.data.mixing.batch import Mixing
from transferlab.data.split_rule import SplitRule

_HeldOut = Annotated[float, Above(0), Below(1)]


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Which samples, prepared how, in which order; `arrange` reads them, `Batches` serves them.

    Args:
        root: a place for `${data.root}` in configs; not read here.
        source: where labelled samples come from.
        target: where a second domain comes from, or None. Its training labels are dropped at once.
        augmentation: of training images.
        mixing: of a training batch's images with each other.
        batch_size: source samples per step and device.
        target_batch_size: target samples per step and device; None = batch_size.
        num_workers: processes that read images, or `auto`.
        image_size: pixels; None = as in the pretraining.
        shots_per_class: training images of each class; None = all.
        fraction: share of the training images; None = all.
        shots_seed: chooses them.
        val_fraction: share of validation where the data has no such split.
        test_fraction: share of testing where the data has no such split.
        split_seed: chooses them.
        fold: test on this fold of `num_folds`; None = one division by the fractions.
        num_folds: number of folds.
        on_leak: `error`, or `drop` from the earlier split what is in two splits.
        check_images: decode every file once before anything starts; False = find out while training.
        on_bad_image: `error`, `skip`, or `quarantine` to move broken files into `.quarantine` in their root.
        cache: `decoded` stores decoded images in the user's cache folder, for this and other runs.
        cache_gib: GiB that all decoded images together may take there.
        sampling: `uniform`, or `balanced` to draw classes equally often.
        steps_per_epoch: None = one pass over the source.
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
    cache: Literal["none", "decoded"] = "none"
    cache_gib: PositiveFloat = 20.0
    sampling: Literal["uniform", "balanced"] = "uniform"
    steps_per_epoch: PositiveInt | None = None

    @property
    def split_rule(self) -> SplitRule:
        """How samples are divided where their source does not say."""
        return SplitRule(
            self.val_fraction, self.test_fraction, self.split_seed, self.fold, self.num_folds, self.on_leak
        )
