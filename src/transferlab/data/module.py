"""The data of an experiment: which samples, prepared how, in which order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from transferlab.data.augmentation.albumentations_file import AlbumentationsFile
from transferlab.data.augmentation.pipeline import Augmentation
from transferlab.data.catalog.catalog import Catalog, CatalogSource
from transferlab.data.checking import refuse_unseen_damage, usable
from transferlab.data.domains import (
    arrange_source,
    arrange_target,
    fingerprint,
    named_parts,
    refuse_shared_images,
    split_table,
)
from transferlab.data.errors import DataError, require_at_least_one
from transferlab.data.loading.dataset import Activations, EvaluationSet, Images, Stored, TrainingSet, as_is
from transferlab.data.loading.decoded_cache import with_decoded
from transferlab.data.loading.sampler import ALONE, EvaluationBatches, Share, TrainingBatches
from transferlab.data.loading.workers import batch_loader, choose_workers
from transferlab.data.mixing.batch import Mixing
from transferlab.data.parts import SplitRule
from transferlab.data.preprocessing import Preprocessing

KEPT_BYTES = 2**28  # of prepared images that may stay in memory
TRAINED_ON = ("train", "target_train")  # the parts whose images are augmented


class DataModule:
    """Catalogs to batches.

    Construct (reads nothing), `load` (names and labels; splits), `bind` (to what a network wants), ask for
    loaders. Training batches hold {"image": uint8 (N, 3, S, S), "label": int64 (N,)} and, with a target,
    {"target_image": uint8 (M, 3, S, S)}; evaluation batches hold image, label (where known) and index (into
    `catalog(part).samples`). `prepared` makes normalised floats of them. Activations can take their place.

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
        val_fraction: share of validation where the data has no such part.
        test_fraction: share of testing where the data has no such part.
        split_seed: chooses them.
        fold: test on this fold of `num_folds`; None = one split.
        num_folds: number of folds.
        on_leak: `error`, or `drop` from the earlier part what is in two parts.
        check_images: decode every file once before anything starts; False = find out while training.
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
        require_at_least_one(
            batch_size=batch_size,
            target_batch_size=target_batch_size,
            image_size=image_size,
            steps_per_epoch=steps_per_epoch,
        )
        if num_workers != "auto" and num_workers < 0:
            raise DataError(f"data.num_workers={num_workers} must be auto, or 0 or more.")
        refuse_unseen_damage(on_bad_image, check_images=check_images)
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
        self.notices: list[str] = []
        self.views: int | None = None
        self.has_target = self.trains_on_target = target is not None
        self._catalogs: dict[str, Catalog] = {}
        self._preprocessing: Preprocessing | None = None
        self._stored: Mapping[str, Stored] = {}
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
        return usable(source, self.on_bad_image, check_images=self.check_images)

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
        """The samples of a part; the `index` of its batches refers to them."""
        return self._catalogs[part]

    def split_table(self) -> pd.DataFrame:
        """Each sample's label, group, split and domain; `unused` where fraction or shots left it out."""
        return split_table(self._domains)

    def fingerprint(self) -> str:
        """A hash of the catalogs' contents and of the split."""
        return fingerprint(self._domains)

    def bind(
        self,
        preprocessing: Preprocessing,
        seed: int,
        *,
        views: int | None = None,
        trains_on_target: bool = True,
    ) -> None:
        """Prepare images as a network wants them.

        Args:
            preprocessing: size, crop and normalisation.
            seed: orders and augments.
            views: how many augmented versions of a training image there are, the same in every run and
                shown in turn; None = another one in each epoch.
            trains_on_target: whether training batches hold target images, where there is a target.
        """
        self._preprocessing = preprocessing
        self._seed = seed
        self.views = views if self.augmentation.is_random else None
        self.trains_on_target = trains_on_target and self.has_target
        if self.cache == "decoded":
            self._catalogs, notices = with_decoded(self._catalogs, preprocessing, most_gib=self.cache_gib)
            self.notices += notices
        in_memory = all(catalog.reader.in_memory for catalog in self._catalogs.values())
        workers = choose_workers(self.num_workers, in_memory=in_memory)
        if self.num_workers == "auto":
            why = "the images are in memory" if in_memory else "images are decoded while training"
            self.notices.append(f"data.num_workers=auto: {workers}, for {why}.")

    def replaced(self, stored: Mapping[str, Stored]) -> None:
        """From now on batches hold these activations, by part, instead of images; {}: images again."""
        self._stored = stored

    def train_dataloader(self, share: Share = ALONE) -> DataLoader[Any]:
        """This process's share of the training batches, from its position on."""
        source = self._training_part("train")
        target = self._training_part("target_train") if self.trains_on_target else None
        batches = self.batches(self._seed, share)
        in_memory = all(self._in_memory(part) for part in TRAINED_ON if part in self._catalogs)
        workers = choose_workers(self.num_workers, in_memory=in_memory)
        dataset = TrainingSet(source, target, seed=self._seed, mixes=self.mixing.is_active)
        return batch_loader(dataset, batches, num_workers=workers, collate=as_is)

    def batches(self, seed: int, share: Share = ALONE) -> TrainingBatches:
        """Which samples training sees when, in a run with this seed."""
        return TrainingBatches(
            self._catalogs["train"].codes,
            num_target=len(self._catalogs["target_train"]) if self.trains_on_target else 0,
            batch_size=self.batch_size,
            target_batch_size=self.target_batch_size,
            balanced=self.sampling == "balanced",
            steps_per_epoch=self.steps_per_epoch,
            seed=seed,
            share=share,
        )

    def evaluation_dataloader(
        self, part: str, share: Share = ALONE, *, with_labels: bool = True
    ) -> DataLoader[Any]:
        """Every sample of a part once, in order, without augmentation.

        Parts: train, val, test and, with a target, source_test, target_train, target_val.
        """
        stored = self._stored.get(part) if self.views is None or part not in TRAINED_ON else None
        samples = self.images(part) if stored is None else Activations(self._catalogs[part], stored)
        workers = choose_workers(self.num_workers, in_memory=self._in_memory(part))
        batches = EvaluationBatches(len(samples), batch_size=self.batch_size, share=share)
        dataset = EvaluationSet(samples, with_labels=with_labels)
        return batch_loader(dataset, batches, num_workers=workers, collate=as_is)

    def prepared(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Images to normalised floats; mixed ones get {"label_probabilities": float (N, num_classes)}."""
        for key in ("image", "target_image"):
            if key in batch:
                is_image = batch[key].dtype == torch.uint8
                batch[key] = self.preprocessing.normalised(batch[key]) if is_image else batch[key].float()
        if "mixing_seed" in batch:
            batch["image"], batch["label_probabilities"] = self.mixing.mixed(
                batch["image"],
                batch["label"],
                num_classes=self.num_classes,
                seed=int(batch.pop("mixing_seed")),
            )
        return batch

    @property
    def preprocessing(self) -> Preprocessing:
        """What the network wants to be shown."""
        assert self._preprocessing is not None, "bind() comes first"
        return self._preprocessing

    def images(self, part: str, *, augmented: bool = False) -> Images:
        """The samples of a part as they are, or as training sees them."""
        catalog = self._catalogs[part]
        random = augmented and self.augmentation.is_random
        plain = self.preprocessing.evaluation_transform()
        transform = self.augmentation.build(self.preprocessing) if augmented else plain
        prepared_bytes = len(catalog) * 3 * self.preprocessing.image_size**2
        keep = not random and catalog.reader.in_memory and prepared_bytes < KEPT_BYTES
        return Images(catalog, transform, keep=keep, views=self.views if augmented else None)

    def _training_part(self, part: str) -> Images | Activations:
        stored = self._stored.get(part)
        if stored is None:
            return self.images(part, augmented=True)
        return Activations(self._catalogs[part], stored, views=self.views)

    def _in_memory(self, part: str) -> bool:
        """Whether the part's batches cost so little that worker processes are not worth it."""
        return part in self._stored or self._catalogs[part].reader.in_memory
