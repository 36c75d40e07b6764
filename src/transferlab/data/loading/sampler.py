"""Batches of keys: source and target together, exact after a resume, shared among ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytorch_lightning as pl
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


def position_of(trainer: pl.Trainer, num_batches: int) -> Position:
    """Where a trainer stands, by its own count of batches, which its checkpoints hold.

    The length of an epoch is derived here: while the first workers start, `num_training_batches` is unset.
    """
    limit = trainer.limit_train_batches
    num_batches = min(num_batches, limit) if isinstance(limit, int) else int(num_batches * limit)
    epoch, batch = divmod(trainer.fit_loop.epoch_loop.batch_progress.total.ready, num_batches)
    return Position(epoch, batch, num_batches)


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
        position: asked, with the number of batches of an epoch, when one begins.
        rank: of `world_size` processes; each takes every `world_size`-th sample of a step.
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
        position: Callable[[int], Position],
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.labels = labels
        self.num_target = num_target
        self.batch_size = batch_size
        self.target_batch_size = target_batch_size
        self.balanced = balanced
        self.steps_per_epoch = steps_per_epoch
        self.seed = seed
        self.position = position
        self.rank = rank
        self.world_size = world_size

    def __len__(self) -> int:
        """Batches of an epoch."""
        if self.steps_per_epoch is not None:
            return self.steps_per_epoch
        return max(1, len(self.labels) // (self.batch_size * self.world_size))

    def __iter__(self) -> Iterator[list[Key]]:
        position = self.position(len(self))
        num_batches = min(position.num_batches or len(self), len(self))
        source = self._source_order(position.epoch, num_batches)
        for batch in range(position.batch, num_batches):
            keys = self._share("source", source, batch, self._source_batch_size, position.epoch)
            if self.num_target:
                step = position.epoch * num_batches + batch
                size = self.target_batch_size * self.world_size
                target = order.stream(
                    self.num_target, domain="target", seed=self.seed, start=step * size, count=size
                )
                keys += self._share("target", target, 0, self.target_batch_size, position.epoch)
            yield keys

    @property
    def _source_batch_size(self) -> int:
        """Smaller than asked for only where one pass does not fill a single batch."""
        if self.steps_per_epoch is not None:
            return self.batch_size
        return max(1, min(self.batch_size, len(self.labels) // self.world_size))

    def _source_order(self, epoch: int, num_batches: int) -> np.ndarray:
        count = num_batches * self._source_batch_size * self.world_size
        if self.balanced:
            return order.balanced(self.labels, domain="source", seed=self.seed, epoch=epoch, count=count)
        if self.steps_per_epoch is None and count <= len(self.labels):
            return order.one_pass(len(self.labels), domain="source", seed=self.seed, epoch=epoch)
        return order.stream(
            len(self.labels), domain="source", seed=self.seed, start=epoch * count, count=count
        )

    def _share(self, domain: str, visits: np.ndarray, batch: int, batch_size: int, epoch: int) -> list[Key]:
        start = batch * batch_size * self.world_size
        step = visits[start : start + batch_size * self.world_size]
        return [
            Key(domain, int(row), epoch, int(number)) for row, number in step[self.rank :: self.world_size]
        ]


class EvaluationBatches(Sampler[list[int]]):
    """Each sample exactly once over all ranks, in order, without padding."""

    def __init__(self, num_samples: int, *, batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        self.rows = range(rank, num_samples, world_size)
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        for start in range(0, len(self.rows), self.batch_size):
            yield list(self.rows[start : start + self.batch_size])
