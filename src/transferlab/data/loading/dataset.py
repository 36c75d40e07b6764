"""From keys to tensors, in whichever process: nothing here depends on the number of workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from transferlab.data.catalog.catalog import Catalog
from transferlab.data.loading.sampler import Key
from transferlab.data.preprocessing import ImageTransform
from transferlab.run.randomness import derived_seed

Batch = dict[str, Tensor]


class Images:
    """One part's samples as uint8 tensors of shape (3, S, S).

    Args:
        catalog: the part.
        transform: from the sample's own size to the network's.
        keep: remember results; for small data whose transform is not random.
    """

    def __init__(self, catalog: Catalog, transform: ImageTransform, *, keep: bool) -> None:
        self.samples = catalog.samples
        self.labels = catalog.table["label"].fillna(-1).to_numpy(dtype=np.int64)
        self.labelled = catalog.labelled
        self.reader = catalog.reader
        self.transform = transform
        self._kept: dict[int, Tensor] | None = {} if keep else None

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, row: int) -> Tensor:
        if self._kept is None:
            return self._made(row)
        if row not in self._kept:
            self._kept[row] = self._made(row)
        return self._kept[row]

    def _made(self, row: int) -> Tensor:
        pixels_HW3 = torch.from_numpy(self.reader(self.samples[row]))
        return self.transform(pixels_HW3.permute(2, 0, 1))


class TrainingSet(Dataset[Batch]):
    """A list of `Key` becomes {"image", "label"} and, with a target, {"target_image"}: never a target
    label.
    """

    def __init__(self, source: Images, target: Images | None, *, seed: int, mixes: bool) -> None:
        assert target is None or (target.labels < 0).all(), "target labels must not reach training"
        self.source = source
        self.target = target
        self.seed = seed
        self.mixes = mixes

    def __getitems__(self, keys: list[Key]) -> Batch:
        source = [key for key in keys if key.domain == "source"]
        batch = {
            "image": stacked([self._augmented(self.source, key) for key in source]),
            "label": torch.from_numpy(self.source.labels[[key.row for key in source]]),
        }
        if self.target is not None:
            target = [key for key in keys if key.domain == "target"]
            batch["target_image"] = stacked([self._augmented(self.target, key) for key in target])
        if self.mixes:
            batch["mixing_seed"] = torch.tensor(derived_seed("mixing", self.seed, *source[0], *source[-1]))
        return batch

    def __getitem__(self, key: Key) -> Batch:
        return self.__getitems__([key])

    def _augmented(self, images: Images, key: Key) -> Tensor:
        sample = images.samples[key.row]
        seed = derived_seed("augmentation", self.seed, key.epoch, key.domain, sample, key.occurrence)
        with seeded(seed):
            return images[key.row]


class EvaluationSet(Dataset[Batch]):
    """A list of rows becomes {"image", "label", "index"}; without "label" where the part has none."""

    def __init__(self, images: Images) -> None:
        self.images = images

    def __getitems__(self, rows: list[int]) -> Batch:
        batch = {"image": stacked([self.images[row] for row in rows]), "index": torch.tensor(rows)}
        if self.images.labelled:
            batch["label"] = torch.from_numpy(self.images.labels[rows])
        return batch

    def __getitem__(self, row: int) -> Batch:
        return self.__getitems__([row])


def stacked(images: list[Tensor]) -> Tensor:
    """A batch in the usual layout, whatever that of the images: one copy."""
    batch = torch.empty((len(images), *images[0].shape), dtype=torch.uint8)
    for place, image in enumerate(images):
        batch[place] = image
    return batch


def as_is(batch: Batch) -> Batch:
    """The collate function: the data sets make whole batches."""
    return batch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's CPU generator seeded within, as it was after; no other device is touched."""
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(state)
