"""Tensors computed before, as batches take them: activations in the images' place, and further columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from transferlab.data.loading.sampler import Key


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
        """Those at these positions."""
        return self.rows[positions]

    def all(self) -> Tensor:
        """All of them."""
        return self.rows


class StoredColumn:
    """Rows of one split's samples.

    Args:
        stored: a row for each sample, or for all samples' first view, then all second ones, and so on.
        num_samples: of the split.
    """

    def __init__(self, stored: Stored, num_samples: int) -> None:
        self.stored = stored
        self.num_samples = num_samples
        self.views = len(stored) // max(1, num_samples)
        assert len(stored) == num_samples * self.views, (len(stored), num_samples)

    def visits(self, keys: Sequence[Key], seed: int) -> Tensor:
        """See `Column`."""
        return self.rows([view_of(key, self.views) * self.num_samples + key.row for key in keys])

    def rows(self, rows: Sequence[int]) -> Tensor:
        """See `Column`."""
        return self.stored.take(torch.as_tensor(rows))


def view_of(key: Key, views: int) -> int:
    """The view that a sample shows on a visit: another one in each epoch, in turn."""
    return (key.epoch + key.occurrence) % views
