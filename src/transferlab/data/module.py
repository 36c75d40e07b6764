"""The data of an experiment: which samples, prepared how, in which order."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
import pytorch_lightning as pl
from torch import Tensor
from torch.utils.data import DataLoader

from transferlab.data.augmentation.albumentations_file import AlbumentationsFile
from transferlab.data.augmentation.pipeline import Augmentation
from transferlab.data.catalog.catalog import Catalog, CatalogSource
from transferlab.data.checking import checked
from transferlab.data.contact_sheet import contact_sheet
from transferlab.data.domains import (
    arrange_source,
    arrange_target,
    fingerprint,
    named_parts,
    refuse_shared_images,
    split_table,
)
from transferlab.data.errors import DataError
from transferlab.data.loading.dataset import EvaluationSet, Images, TrainingSet, as_is
from transferlab.data.loading.decoded_cache import with_decoded
from transferlab.data.loading.sampler import EvaluationBatches, Position, TrainingBatches, position_of
from transferlab.data.loading.workers import batch_loader, choose_workers
from transferlab.data.mixing.batch import Mixing
from transferlab.data.parts import SplitRule
from transferlab.data.preprocessing import Preprocessing

KEPT_BYTES = 2**28


class DataModule(pl.LightningDataModule):
    """Catalogs to batches.

    The order of use: construct (reads nothing), `load` (reads names and labels, splits), `bind` (to what a
    network wants), then loaders. Training batches hold {"image": uint8 (N, 3, S, S), "label": int64 (N,)}
    and, with a target, {"target_image": uint8 (M, 3, S, S)}; evaluation batches hold image, label (where
    known) and index (into `samples(part)`). Images become normalised floats on their device, in
    `on_after_batch_transfer`.

    Args:
        root: a place for `${data.root}` in configs; not read here.
        source: where labelled samples come from.
        target: where a second domain comes from, or None. Its training labels are dropped before anything
        trains.
        augmentation: of training images, one by one.
        mixing: of a training batch's images with each other.
        batch_size: source samples per step and device.
        target_batch_size: target samples per step and device; None = batch_size.
        num_workers: processes that read images, or `auto`.
        image_size: pixels; None = what the network was pretrained with.
        shots_per_class: training images of each class; None = all.
        fraction: share of the training images; None = all.
        shots_seed: chooses them.
        val_fraction: share of validation where the data has no such part.
        test_fraction: share of testing where the data has no such part.
        split_seed: chooses them.
        fold: test on this fold of `num_folds`; None = one split.
        num_folds: number of folds.
        on_leak: `error`, or `drop` from the earlier part what is in two parts.
        check_images: decode every file once before anything starts (remembered by contents); False = find out
            while training.
        on_bad_image: `error`, `skip`, or `quarantine` to move broken files into `.quarantine` in their root.
        cache: `decoded` keeps decoded images in the user's cache folder, for this and other runs.
        cache_gib: GiB that all decoded images together may take there.
        sampling: `uniform`, or `balanced` to draw classes equally often.
        steps_per_epoch: None = one pass over the source.
    """

    def __init__(
        self,
        *,
        root: str | None,
        source: CatalogSource,
        target: CatalogSource | None,
        augmentation: Augmentation | AlbumentationsFile,
        mixing: Mixing,
        batch_size: int = 64,
        target_batch_size: int | None = None,
        num_workers: int | Literal["auto"] = "auto",
        image_size: int | None = None,
        shots_per_class: int | None = None,
        fraction: float | None = None,
        shots_seed: int = 0,
        val_fraction: float = 0.2,
        test_fraction: float = 0.2,
        split_seed: int = 0,
        fold: int | None = None,
        num_folds: int = 5,
        on_leak: Literal["error", "drop"] = "error",
        check_images: bool = True,
        on_bad_image: Literal["error", "skip", "quarantine"] = "error",
        cache: Literal["none", "decoded"] = "none",
        cache_gib: float = 20.0,
        sampling: Literal["uniform", "balanced"] = "uniform",
        steps_per_epoch: int | None = None,
    ) -> None:
        super().__init__()
        for name, size in (
            ("batch_size", batch_size),
            ("target_batch_size", target_batch_size),
            ("image_size", image_size),
            ("steps_per_epoch", steps_per_epoch),
        ):
            if size is not None and size < 1:
                raise DataError(f"data.{name}={size} must be at least 1.")
        if num_workers != "auto" and num_workers < 0:
            raise DataError(f"data.num_workers={num_workers} must be auto, or 0 or more.")
        if on_bad_image != "error" and not check_images:
            raise DataError(
                f"data.on_bad_image={on_bad_image} needs data.check_images=true: what is broken must be "
                "known before "
                "images are shared out."
            )
        self.root = root
        self.source = source
        self.target = target
        self.augmentation = augmentation
        self.mixing = mixing
        self.batch_size = batch_size
        self.target_batch_size = target_batch_size or batch_size
        self.num_workers = num_workers
        self.image_size = image_size
        self.split_rule = SplitRule(val_fraction, test_fraction, split_seed, fold, num_folds, on_leak)
        self.shots_per_class = shots_per_class
        self.fraction = fraction
        self.shots_seed = shots_seed
        self.check_images = check_images
        self.on_bad_image = on_bad_image
        self.cache = cache
        self.cache_gib = cache_gib
        self.sampling = sampling
        self.steps_per_epoch = steps_per_epoch
        self.position = Position()
        self.test_part = "test"  # what `Trainer.test` goes through
        self.notices: list[str] = []
        self._catalogs: dict[str, Catalog] = {}
        self._preprocessing: Preprocessing | None = None
        self._seed = 0

    def load(self) -> None:
        """Read the catalogs, split them, choose the shots; raises `DataError`."""
        source = arrange_source(
            self._usable(self.source),
            self.split_rule,
            fraction=self.fraction,
            shots_per_class=self.shots_per_class,
            shots_seed=self.shots_seed,
        )
        self._domains = [source]
        if self.target is not None:
            target = arrange_target(self._usable(self.target), self.split_rule, source.classes)
            refuse_shared_images(source, target)
            self._domains.append(target)
        self.notices = [notice for domain in self._domains for notice in domain.notices]
        self._catalogs = named_parts(self._domains, self.notices)

    def _usable(self, source: CatalogSource) -> Catalog:
        catalog = source.load().usable()
        return checked(catalog, self.on_bad_image) if self.check_images else catalog

    @property
    def has_target(self) -> bool:
        return self.target is not None

    @property
    def classes(self) -> tuple[str, ...]:
        return self._domains[0].classes

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def class_counts(self) -> np.ndarray:
        """Images of each class in the labelled training part."""
        return self._catalogs["train"].class_counts

    @property
    def parts(self) -> dict[str, int]:
        """The number of samples of each part."""
        return {part: len(catalog) for part, catalog in self._catalogs.items()}

    def catalog(self, part: str) -> Catalog:
        """The samples of a part."""
        return self._catalogs[part]

    def samples(self, part: str) -> list[str]:
        """The names that the `index` of the part's batches refers to."""
        return self._catalogs[part].samples

    def split_table(self) -> pd.DataFrame:
        """Each sample's label, group, split and domain; `unused` where fraction or shots left it out."""
        return split_table(self._domains)

    def fingerprint(self) -> str:
        """A hash of the catalogs' contents and of the split."""
        return fingerprint(self._domains)

    def bind(self, preprocessing: Preprocessing, seed: int) -> None:
        """Prepare images as a network wants them; `seed` orders and augments them."""
        self._preprocessing = preprocessing
        self._seed = seed
        if self.cache == "decoded":
            self._catalogs, notices = with_decoded(self._catalogs, preprocessing, most_gib=self.cache_gib)
            self.notices += notices
        in_memory = all(catalog.reader.in_memory for catalog in self._catalogs.values())
        workers = choose_workers(self.num_workers, in_memory=in_memory)
        if self.num_workers == "auto":
            why = "the images are in memory" if in_memory else "images are decoded while training"
            self.notices.append(f"data.num_workers=auto: {workers}, for {why}.")

    def train_dataloader(self) -> DataLoader[Any]:
        source = self._images("train", augmented=True)
        target = self._images("target_train", augmented=True) if self.has_target else None
        batches = TrainingBatches(
            source.labels,
            num_target=len(target) if target is not None else 0,
            batch_size=self.batch_size,
            target_batch_size=self.target_batch_size,
            balanced=self.sampling == "balanced",
            steps_per_epoch=self.steps_per_epoch,
            seed=self._seed,
            position=self._current_position,
            **self._ranks,
        )
        readers = [source.reader] + ([target.reader] if target is not None else [])
        workers = choose_workers(self.num_workers, in_memory=all(reader.in_memory for reader in readers))
        dataset = TrainingSet(source, target, seed=self._seed, mixes=self.mixing.is_active)
        return batch_loader(dataset, batches, num_workers=workers, collate=as_is)

    def val_dataloader(self) -> DataLoader[Any]:
        return self.evaluation_dataloader("val")

    def test_dataloader(self) -> DataLoader[Any]:
        return self.evaluation_dataloader(self.test_part)

    def evaluation_dataloader(self, part: str) -> DataLoader[Any]:
        """Every sample of a part once, in order, without augmentation.

        Parts: train, val, test and, with a target, source_test, target_train, target_val.
        """
        images = self._images(part, augmented=False)
        workers = choose_workers(self.num_workers, in_memory=images.reader.in_memory)
        batches = EvaluationBatches(len(images), batch_size=self.batch_size, **self._ranks)
        return batch_loader(EvaluationSet(images), batches, num_workers=workers, collate=as_is)

    def contact_sheet(self) -> np.ndarray:
        """A picture of augmented training images beside the plain ones: uint8 RGB, shape (H, W, 3)."""
        plain, augmented = (self._images("train", augmented=augmented) for augmented in (False, True))
        return contact_sheet(plain, augmented, seed=self._seed)

    def on_after_batch_transfer(self, batch: dict[str, Tensor], dataloader_idx: int) -> dict[str, Tensor]:
        """Images to normalised floats; mixed ones get {"label_probabilities": float (N, num_classes)}."""
        assert self._preprocessing is not None, "bind() comes first"
        for key in ("image", "target_image"):
            if key in batch:
                batch[key] = self._preprocessing.normalised(batch[key])
        if "mixing_seed" in batch:
            batch["image"], batch["label_probabilities"] = self.mixing.mixed(
                batch["image"],
                batch["label"],
                num_classes=self.num_classes,
                seed=int(batch.pop("mixing_seed")),
            )
        return batch

    def _images(self, part: str, *, augmented: bool) -> Images:
        assert self._preprocessing is not None, "bind() comes first"
        catalog = self._catalogs[part]
        random = augmented and self.augmentation.is_random
        transform = (
            self.augmentation.build(self._preprocessing)
            if augmented
            else self._preprocessing.evaluation_transform()
        )
        return Images(catalog, transform, keep=not random and self._fits(catalog))

    def _fits(self, catalog: Catalog) -> bool:
        """Whether a part's prepared images may stay in memory."""
        assert self._preprocessing is not None
        prepared_bytes = len(catalog) * 3 * self._preprocessing.image_size**2
        return catalog.reader.in_memory and prepared_bytes < KEPT_BYTES

    def _current_position(self, num_batches: int) -> Position:
        return self.position if self.trainer is None else position_of(self.trainer, num_batches)

    @property
    def _ranks(self) -> dict[str, int]:
        """This process's place among those that share the data."""
        if self.trainer is None:
            return {"rank": 0, "world_size": 1}
        return {"rank": self.trainer.global_rank, "world_size": self.trainer.world_size}
