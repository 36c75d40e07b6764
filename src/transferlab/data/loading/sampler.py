"""Batches of keys: source and target together, exact after a resume, shared among ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

from transferlab.data.loading import order


class Key(NamedTuple):
    """One visit to one sample; all that its pixels depend on besides the seed."""

    domain: str
    row: int
    epoch: int
    occurrence: int


@dataclass(frozen=True)
class Position:
    """Where a run stands: batch `batch` of epoch `epoch`, of `num_batches` an epoch (None: all there are)."""

    epoch: int = 0
    batch: int = 0
    num_batches: int | None = None


@dataclass(frozen=True)
class Share:
    """What one of `world_size` processes gets of the batches, and where it begins.

    Args:
        position: asked, with the number of batches of an epoch, when one begins.
        rank: of `world_size` processes; each takes every `world_size`-th sample of a step.
        world_size: number of processes.
    """

    position: Callable[[int], Position] = lambda num_batches: Position()
    rank: int = 0
    world_size: int = 1


ALONE = Share()


class TrainingBatches(Sampler[list[Key]]):
    """Yields each step's keys for one rank.

    An epoch is one pass over the source, or `steps_per_epoch` steps of an endless stream. The target is
    always an endless stream. An incomplete last batch is dropped, unless it is the only one.

    Args:
        labels: of the source samples.
        num_target: target samples, 0 without a target.
        batch_size: source samples per step and rank.
        target_batch_size: target samples per step and rank.
        balanced: draw classes equally often.
        steps_per_epoch: None for one pass.
        seed: of the run.
        share: of this process.
    """

    def __init__(
        self,
        labels: np.ndarray,
        *,
        num_target: int,
        batch_size: int,
        target_batch_size: int,
        balanced: bool,
        steps_per_epoch: int | None,
        seed: int,
        share: Share = ALONE,
    ) -> None:
        self.labels = labels
        self.num_target = num_target
        self.batch_size = batch_size
        self.target_batch_size = target_batch_size
        self.balanced = balanced
        self.steps_per_epoch = steps_per_epoch
        self.seed = seed
        self.share = share

    def __len__(self) -> int:
        """Batches of an epoch."""
        if self.steps_per_epoch is not None:
            return self.steps_per_epoch
        return max(1, len(self.labels) // (self.batch_size * self.share.world_size))

    def __iter__(self) -> Iterator[list[Key]]:
        position = self.share.position(len(self))
        num_batches = min(position.num_batches or len(self), len(self))
        source = self.source_order(position.epoch, num_batches)
        for batch in range(position.batch, num_batches):
            keys = self._keys("source", source, batch, self.source_batch_size, position.epoch)
            if self.num_target:
                step = position.epoch * num_batches + batch
                size = self.target_batch_size * self.share.world_size
                target = order.stream(
                    self.num_target, domain="target", seed=self.seed, start=step * size, count=size
                )
                keys += self._keys("target", target, 0, self.target_batch_size, position.epoch)
            yield keys

    def visits(self, epoch: int) -> np.ndarray:
        """The source's (row, occurrence) of a whole epoch, of all processes: (batches, batch size, 2)."""
        size = self.source_batch_size * self.share.world_size
        return self.source_order(epoch, len(self))[: len(self) * size].reshape(len(self), size, 2)

    @property
    def source_batch_size(self) -> int:
        """Smaller than asked for only where one pass does not fill a single batch."""
        if self.steps_per_epoch is not None:
            return self.batch_size
        return max(1, min(self.batch_size, len(self.labels) // self.share.world_size))

    def source_order(self, epoch: int, num_batches: int) -> np.ndarray:
        """(row, occurrence) of every visit of an epoch, one batch after the other."""
        count = num_batches * self.source_batch_size * self.share.world_size
        if self.balanced:
            return order.balanced(self.labels, domain="source", seed=self.seed, epoch=epoch, count=count)
        if self.steps_per_epoch is None and count <= len(self.labels):
            return order.one_pass(len(self.labels), domain="source", seed=self.seed, epoch=epoch)
        return order.stream(
            len(self.labels), domain="source", seed=self.seed, start=epoch * count, count=count
        )

    def _keys(self, domain: str, visits: np.ndarray, batch: int, batch_size: int, epoch: int) -> list[Key]:
        start = batch * batch_size * self.share.world_size
        step = visits[start : start + batch_size * self.share.world_size]
        return [
            Key(domain, int(row), epoch, int(number))
            for row, number in step[self.share.rank :: self.share.world_size]
        ]


class EvaluationBatches(Sampler[list[int]]):
    """Each sample once over all ranks, in order.

    All ranks have equally many batches, as they talk to each other in each: one that has run out of samples
    shows its first again. Whoever gathers the outputs counts each sample once.
    """

    def __init__(self, num_samples: int, *, batch_size: int, share: Share = ALONE) -> None:
        self.num_samples = num_samples
        self.rows = range(share.rank, num_samples, share.world_size)
        self.batch_size = batch_size
        self.world_size = share.world_size

    def __len__(self) -> int:
        return -(-self.num_samples // (self.world_size * self.batch_size))

    def __iter__(self) -> Iterator[list[int]]:
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield list(self.rows[start : start + self.batch_size]) or [self.rows[0] if self.rows else 0]
