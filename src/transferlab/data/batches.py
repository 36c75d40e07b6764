"""Splits to batches: prepared how, in which order."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader

from transferlab.data.augmentation.pipeline import Augmentation
from transferlab.data.data_settings import DataSettings
from transferlab.data.image.preprocessing import Preprocessing
from transferlab.data.loading.batch_loader import batch_loader
from transferlab.data.loading.dataset import (
    Column,
    EvaluationSet,
    Images,
    Stored,
    StoredColumn,
    TrainingSet,
)
from transferlab.data.loading.decoded_cache import with_decoded
from transferlab.data.loading.sampler import ALONE, EvaluationBatches, Share, TrainingBatches
from transferlab.data.loading.workers import choose_workers
from transferlab.data.splits import Split, Splits

Columns = Mapping[str, Mapping[str, Stored]]
"""Further columns by their name and the name of the split: a row per sample, or per view of each sample."""

CACHED_BYTES = 2**28  # of prepared images that may stay in memory
_OWN_KEYS = frozenset(("image", "input", "label", "index", "label_probabilities", "mixing_seed"))
_DOMAINS = ("", "target_")  # prefixes of a batch's keys


class Batches:
    """Batches of splits, prepared for a network: a value, which does not change.

    Loaders yield `image`, uint8 (N, 3, S, S), or `input`, where activations stand in for images; `label`,
    int64 (N,), where known; in training `target_image` or `target_input` (M, ...), where the target is
    used; in evaluation `index`, into the split's samples; further columns by name (in training with
    `target_` before it for the target's). `prepared` makes of that what a network takes, on any device.

    Args:
        views: number of augmented versions of a training image, the same in every run and shown in turn;
            None: another one in each epoch.
        uses_target: whether training batches hold the target, where there is one.
        columns: further ones. Those with a row per view are in training batches alone.
    """

    def __init__(
        self,
        splits: Splits,
        settings: DataSettings,
        preprocessing: Preprocessing,
        *,
        seed: int,
        views: int | None = None,
        uses_target: bool = True,
        columns: Columns | None = None,
    ) -> None:
        self.settings = settings
        self.preprocessing = preprocessing
        self.seed = seed
        self.views = views if settings.augmentation.is_random else None
        self.uses_target = uses_target and splits.has_target
        self.splits = _with_readers(splits, settings, preprocessing)
        self.columns = self._checked(columns or {})
        self._stored: Mapping[str, Stored] = {}

    def with_stored(self, stored: Mapping[str, Stored]) -> Batches:
        """These batches with activations in the images' place, by split; of each view in training splits."""
        self._require_rows(stored, one_view=False)
        return self._with(_stored=stored)

    def with_columns(self, columns: Columns) -> Batches:
        """The same batches with these further columns."""
        return self._with(columns=self._checked(columns))

    def with_settings(self, **changes: Any) -> Batches:
        """The same splits in batches of other sizes, another number of steps, and so on."""
        return self._with(settings=replace(self.settings, **changes))

    def with_plain_images(self) -> Batches:
        """The same batches without augmentation."""
        return self._with(settings=replace(self.settings, augmentation=Augmentation()), views=None)

    def _with(self, **changes: Any) -> Batches:
        other = copy.copy(self)
        vars(other).update(changes)
        return other

    def _checked(self, columns: Columns) -> Columns:
        assert not _OWN_KEYS & {name.removeprefix("target_") for name in columns}, list(columns)
        for stored in columns.values():
            self._require_rows(stored, one_view=True)
        return columns

    @property
    def trained_on(self) -> list[Split]:
        """The splits in training batches: the source's, then the target's where it is used."""
        return self.splits.trained_on if self.uses_target else self.splits.trained_on[:1]

    def train(self, share: Share = ALONE) -> DataLoader[Any]:
        """This process's share of the training batches, from its position on."""
        source, *target = self.trained_on
        dataset = TrainingSet(
            self._seen(source, training=True),
            self._seen(target[0], training=True) if target else {},
            source.catalog.codes,
            seed=self.seed,
            mixes=self.settings.mixing.is_active,
        )
        return batch_loader(dataset, self.order(self.seed, share), num_workers=self._workers(source, *target))

    def order(self, seed: int, share: Share = ALONE) -> TrainingBatches:
        """The samples of each training batch, in a run with this seed."""
        source, *target = self.trained_on
        settings = self.settings
        return TrainingBatches(
            source.catalog.codes,
            num_target=sum(map(len, target)),
            batch_size=settings.batch_size,
            target_batch_size=settings.target_batch_size or settings.batch_size,
            balanced=settings.sampling == "balanced",
            steps_per_epoch=settings.steps_per_epoch,
            seed=seed,
            share=share,
        )

    def evaluation(self, split: str, share: Share = ALONE, *, with_labels: bool = True) -> DataLoader[Any]:
        """Every sample of a split once, in order, without augmentation."""
        evaluated = self.splits[split]
        labels_N = evaluated.catalog.codes if with_labels and evaluated.labelled else None
        batches = EvaluationBatches(len(evaluated), batch_size=self.settings.batch_size, share=share)
        dataset = EvaluationSet(self._seen(evaluated, training=False), labels_N)
        return batch_loader(dataset, batches, num_workers=self._workers(evaluated))

    def prepared(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """With `input`: images as normalised floats, `image` being the same tensor, or activations.

        Mixed images get `label_probabilities`, float (N, num_classes).
        """
        batch = dict(batch)
        for domain in _DOMAINS:
            if f"{domain}image" in batch:
                batch[f"{domain}input"] = self.preprocessing.normalised(batch[f"{domain}image"])
            elif f"{domain}input" in batch:
                batch[f"{domain}input"] = batch[f"{domain}input"].float()
        if "mixing_seed" in batch:
            batch["input"], batch["label_probabilities"] = self.settings.mixing.mixed(
                batch["input"],
                batch["label"],
                num_classes=self.splits.num_classes,
                seed=int(batch.pop("mixing_seed")),
            )
        return batch | {f"{d}image": batch[f"{d}input"] for d in _DOMAINS if f"{d}image" in batch}

    def images(self, split: str, *, augmented: bool = False) -> Images:
        """The samples of a split as they are, or as training sees them."""
        catalog, augmentation = self.splits[split].catalog, self.settings.augmentation
        random = augmented and augmentation.is_random
        plain = self.preprocessing.evaluated
        transform = augmentation.build(self.preprocessing) if augmented else plain
        prepared_bytes = len(catalog) * 3 * math.prod(self.preprocessing.size_px)
        cache = not random and catalog.reader.in_memory and prepared_bytes < CACHED_BYTES
        return Images(catalog, transform, cache=cache, views=self.views if augmented else None)

    def _seen(self, split: Split, *, training: bool) -> dict[str, Column]:
        """Images, or what stands in for them, and further columns."""
        shows_views = split.trained_on and self.views is not None
        rows = {name: given[split.name] for name, given in self.columns.items() if split.name in given}
        seen: dict[str, Column] = {
            name: StoredColumn(stored, len(split))
            for name, stored in rows.items()
            if training or len(stored) == len(split)
        }
        if split.name in self._stored and (training or not shows_views):
            return {"input": StoredColumn(self._stored[split.name], len(split)), **seen}
        return {"image": self.images(split.name, augmented=training), **seen}

    def _require_rows(self, stored: Mapping[str, Stored], *, one_view: bool) -> None:
        """A row for each view of each sample or, where `one_view` is enough, for each sample."""
        for name, rows in stored.items():
            split = self.splits[name]
            views = (self.views or 1) if split.trained_on else 1
            allowed = {views * len(split), len(split)} if one_view else {views * len(split)}
            assert len(rows) in allowed, (name, len(rows), allowed)

    def _workers(self, *splits: Split) -> int:
        """No process more than the batches' cost is worth."""
        in_memory = all(split.name in self._stored or split.catalog.reader.in_memory for split in splits)
        return choose_workers(self.settings.num_workers, in_memory=in_memory)


def _with_readers(splits: Splits, settings: DataSettings, preprocessing: Preprocessing) -> Splits:
    """The splits with the decoded cache where it is asked for; notes say what was decided."""
    if settings.cache == "decoded":
        splits = with_decoded(splits, preprocessing, most_gib=settings.cache_gib)
    if settings.num_workers != "auto":
        return splits
    in_memory = all(split.catalog.reader.in_memory for split in splits.values())
    why = "the images are in memory" if in_memory else "images are decoded while training"
    note = f"data.num_workers=auto: {choose_workers('auto', in_memory=in_memory)}, for {why}."
    return replace(splits, notes=(*splits.notes, note))
