"""From keys to tensors, in whichever process: nothing here depends on the number of workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

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
        views: how many versions of each sample random transforms make, over and over; None: ever new ones.
    """

    def __init__(
        self, catalog: Catalog, transform: ImageTransform, *, keep: bool, views: int | None = None
    ) -> None:
        self.samples = catalog.samples
        self.labels = catalog.codes
        self.labelled = catalog.labelled
        self.reader = catalog.reader
        self.transform = transform
        self.views = views
        self._kept: dict[int, Tensor] | None = {} if keep else None

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, row: int) -> Tensor:
        if self._kept is None:
            return self._made(row)
        if row not in self._kept:
            self._kept[row] = self._made(row)
        return self._kept[row]

    def visits(self, keys: Sequence[Key], seed: int) -> Tensor:
        """What training sees on these visits, of a run with this seed."""
        return stacked([self._visit(key, seed) for key in keys])

    def rows(self, rows: Sequence[int]) -> Tensor:
        """What an evaluation sees of these samples."""
        return stacked([self[row] for row in rows])

    def view(self, domain: str, row: int, number: int) -> Tensor:
        """One of a sample's `views`: the same in every run."""
        with seeded(derived_seed("view", domain, self.samples[row], number)):
            return self[row]

    def _visit(self, key: Key, seed: int) -> Tensor:
        if self.views is not None:
            return self.view(key.domain, key.row, view_of(key, self.views))
        sample = self.samples[key.row]
        with seeded(derived_seed("augmentation", seed, key.epoch, key.domain, sample, key.occurrence)):
            return self[key.row]

    def _made(self, row: int) -> Tensor:
        pixels_HW3 = torch.from_numpy(self.reader(self.samples[row]))
        return self.transform(pixels_HW3.permute(2, 0, 1))


class Activations:
    """What frozen layers make of one part's samples, computed before; takes the place of its `Images`.

    Args:
        catalog: the part.
        stored: activations of each sample, or of all samples' first view, then all second ones, and so on.
        views: how many; None where training sees each sample unchanged.
    """

    def __init__(self, catalog: Catalog, stored: Stored, *, views: int | None = None) -> None:
        assert len(stored) == len(catalog) * (views or 1), (len(stored), len(catalog), views)
        self.samples = catalog.samples
        self.labels = catalog.codes
        self.labelled = catalog.labelled
        self.stored = stored
        self.views = views

    def __len__(self) -> int:
        return len(self.samples)

    def visits(self, keys: Sequence[Key], seed: int) -> Tensor:
        """See `Images`."""
        if self.views is None:
            return self.rows([key.row for key in keys])
        return self.rows([view_of(key, self.views) * len(self) + key.row for key in keys])

    def rows(self, rows: Sequence[int]) -> Tensor:
        """See `Images`."""
        return self.stored.take(torch.as_tensor(rows))


class Stored(Protocol):
    """Tensors of one shape on disk or in memory."""

    def __len__(self) -> int: ...

    def take(self, positions: Tensor) -> Tensor:
        """Those at these positions, stacked."""
        ...


def view_of(key: Key, views: int) -> int:
    """Which of its views a sample shows on a visit: another one in each epoch, in turn."""
    return (key.epoch + key.occurrence) % views


class TrainingSet(Dataset[Batch]):
    """A list of `Key` becomes {"image", "label"} and, with a target, {"target_image"}: never a target
    label.
    """

    def __init__(
        self, source: Images | Activations, target: Images | Activations | None, *, seed: int, mixes: bool
    ) -> None:
        assert target is None or (target.labels < 0).all(), "target labels must not reach training"
        self.source = source
        self.target = target
        self.seed = seed
        self.mixes = mixes

    def __getitems__(self, keys: list[Key]) -> Batch:
        source = [key for key in keys if key.domain == "source"]
        batch = {
            "image": self.source.visits(source, self.seed),
            "label": torch.from_numpy(self.source.labels[[key.row for key in source]]),
        }
        if self.target is not None:
            target = [key for key in keys if key.domain == "target"]
            batch["target_image"] = self.target.visits(target, self.seed)
        if self.mixes:
            batch["mixing_seed"] = torch.tensor(derived_seed("mixing", self.seed, *source[0], *source[-1]))
        return batch

    def __getitem__(self, key: Key) -> Batch:
        return self.__getitems__([key])


class EvaluationSet(Dataset[Batch]):
    """A list of rows becomes {"image", "label", "index"}; without "label" where the part has none.

    Args:
        images: or what stands for them.
        with_labels: False leaves labels out.
    """

    def __init__(self, images: Images | Activations, *, with_labels: bool = True) -> None:
        self.images = images
        self.labelled = with_labels and images.labelled

    def __getitems__(self, rows: list[int]) -> Batch:
        batch = {"image": self.images.rows(rows), "index": torch.tensor(rows)}
        if self.labelled:
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
