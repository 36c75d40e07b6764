"""From keys to tensors, in whichever process: nothing here depends on the number of workers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from transferlab.data.catalog.catalog import Catalog
from transferlab.data.data_error import DataError
from transferlab.data.image.preprocessing import ImageTransform
from transferlab.data.loading.sampler import Key
from transferlab.run.randomness import derived_seed

Batch = dict[str, Tensor]


class Column(Protocol):
    """Column of batches: rows of a split's samples under one name."""

    def visits(self, keys: Sequence[Key], seed: int) -> Tensor:
        """Shown by training on these visits, of a run with this seed."""
        ...

    def rows(self, rows: Sequence[int]) -> Tensor:
        """Shown by an evaluation of these samples."""
        ...


class Images:
    """One split's samples as uint8 tensors of shape (3, S, S).

    Args:
        transform: from the sample's own size to the network's.
        cache: results in memory; for small data whose transform is not random.
        views: number of versions of each sample that random transforms make, in turn; None: ever new ones.
    """

    def __init__(
        self, catalog: Catalog, transform: ImageTransform, *, cache: bool, views: int | None = None
    ) -> None:
        self.samples = catalog.samples
        self.labels = catalog.codes
        self.reader = catalog.reader
        self.transform = transform
        self.views = views
        self._cached: dict[int, Tensor] | None = {} if cache else None

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, row: int) -> Tensor:
        if self._cached is None:
            return self._made(row)
        if row not in self._cached:
            self._cached[row] = self._made(row)
        return self._cached[row]

    def visits(self, keys: Sequence[Key], seed: int) -> Tensor:
        return stacked([self._visit(key, seed) for key in keys])

    def rows(self, rows: Sequence[int]) -> Tensor:
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
        sample = self.samples[row]
        try:
            pixels_HW3 = torch.from_numpy(self.reader(sample))
            return self.transform(pixels_HW3.permute(2, 0, 1))
        except (DataError, MemoryError):
            raise
        except Exception as error:  # a file that has changed, a transform of the user's own
            raise DataError(
                f"{sample}: cannot be read or transformed ({type(error).__name__}: {error}). Fix: mend or "
                "remove the image, or correct the transform of data.augmentation."
            ) from error


class Stored(Protocol):
    """Tensors of one shape on disk or in memory."""

    def __len__(self) -> int: ...

    def take(self, positions: Tensor) -> Tensor:
        """Those at these positions, stacked."""
        ...


@dataclass(frozen=True)
class InMemory:
    """Rows (N, ...) that are stored nowhere else."""

    rows: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, positions: Tensor) -> Tensor:
        return self.rows[positions]

    def all(self) -> Tensor:
        return self.rows


class StoredColumn:
    """Rows of one split's samples; `stored` has all samples' first view, then all second ones, and so on."""

    def __init__(self, stored: Stored, num_samples: int) -> None:
        self.stored = stored
        self.num_samples = num_samples
        self.views = len(stored) // max(1, num_samples)
        assert len(stored) == num_samples * self.views, (len(stored), num_samples)

    def visits(self, keys: Sequence[Key], seed: int) -> Tensor:
        return self.rows([view_of(key, self.views) * self.num_samples + key.row for key in keys])

    def rows(self, rows: Sequence[int]) -> Tensor:
        return self.stored.take(torch.as_tensor(rows))


def view_of(key: Key, views: int) -> int:
    """The view that a sample shows on a visit: another one in each epoch, in turn."""
    return (key.epoch + key.occurrence) % views


@dataclass(frozen=True, eq=False)
class TrainingSet(Dataset[Batch]):
    """A list of `Key` becomes the source's columns, the target's with `target_` before their names, and
    {"label"}: never a target label.
    """

    source: Mapping[str, Column]
    target: Mapping[str, Column]
    labels_N: np.ndarray
    seed: int
    mixes: bool

    def __getitems__(self, keys: list[Key]) -> Batch:
        source = [key for key in keys if key.domain == "source"]
        batch = {name: column.visits(source, self.seed) for name, column in self.source.items()}
        batch["label"] = torch.from_numpy(self.labels_N[[key.row for key in source]])
        target = [key for key in keys if key.domain == "target"]
        for name, column in self.target.items():
            batch[f"target_{name}"] = column.visits(target, self.seed)
        if self.mixes:
            batch["mixing_seed"] = torch.tensor(derived_seed("mixing", self.seed, *source[0], *source[-1]))
        return batch

    def __getitem__(self, key: Key) -> Batch:
        return self.__getitems__([key])


@dataclass(frozen=True, eq=False)
class EvaluationSet(Dataset[Batch]):
    """A list of rows becomes {"index"}, {"label"} where labels are given, and what the columns show."""

    columns: Mapping[str, Column]
    labels_N: np.ndarray | None

    def __getitems__(self, rows: list[int]) -> Batch:
        batch = {name: column.rows(rows) for name, column in self.columns.items()}
        batch["index"] = torch.tensor(rows)
        if self.labels_N is not None:
            batch["label"] = torch.from_numpy(self.labels_N[rows])
        return batch

    def __getitem__(self, row: int) -> Batch:
        return self.__getitems__([row])


def stacked(images: list[Tensor]) -> Tensor:
    """A batch in the usual layout, whatever that of the images: one copy."""
    batch = torch.empty((len(images), *images[0].shape), dtype=torch.uint8)
    for place, image in enumerate(images):
        batch[place] = image
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
