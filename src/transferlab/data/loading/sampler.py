"""Batches of keys: source and target together, exact after a resume, shared among ranks.

The order of samples is a pure function of (seed, epoch), so that a killed run goes on where it was. An order
is an int array of shape (n, 2): the sample's row and its occurrence, which differs between repeated visits of
one epoch (it seeds the augmentation).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

from transferlab.run.randomness import derived_seed


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
    """One of `world_size` processes: it takes every `world_size`-th sample of a step, from its rank on.

    `position` is called with the number of batches of an epoch when one begins.
    """

    position: Callable[[int], Position] = lambda num_batches: Position()
    rank: int = 0
    world_size: int = 1


ALONE = Share()


@dataclass(frozen=True, eq=False)
class TrainingBatches(Sampler[list[Key]]):
    """Yields each step's keys for one rank.

    An epoch is one pass over the source, or `steps_per_epoch` steps of an endless stream. The target is
    always an endless stream. An incomplete last batch is dropped, unless it is the only one.

    `labels` are of the source, batch sizes per step and rank; `balanced` draws classes equally often.
    """

    labels: np.ndarray
    _: KW_ONLY
    num_target: int
    batch_size: int
    target_batch_size: int
    balanced: bool
    steps_per_epoch: int | None
    seed: int
    share: Share = ALONE

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
                target = stream(
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
            return balanced(self.labels, domain="source", seed=self.seed, epoch=epoch, count=count)
        if self.steps_per_epoch is None and count <= len(self.labels):
            return one_pass(len(self.labels), domain="source", seed=self.seed, epoch=epoch)
        return stream(len(self.labels), domain="source", seed=self.seed, start=epoch * count, count=count)

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


def permutation(num: int, *parts: int | str) -> np.ndarray:
    """A permutation of range(num) that depends on `parts`."""
    return np.random.default_rng(derived_seed(*parts)).permutation(num)


def one_pass(num: int, *, domain: str, seed: int, epoch: int) -> np.ndarray:
    """Every sample once."""
    rows = permutation(num, "batch order", domain, seed, epoch)
    return np.stack([rows, np.zeros_like(rows)], axis=1)


def stream(num: int, *, domain: str, seed: int, start: int, count: int) -> np.ndarray:
    """Places start .. start + count of an endless stream of passes, each with its own permutation.

    The occurrence is the number of the pass.
    """
    parts = []
    for number in range(start // num, (start + count - 1) // num + 1):
        first, last = max(start - number * num, 0), min(start + count - number * num, num)
        rows = _pass(num, domain, seed, number)[first:last]
        parts.append(np.stack([rows, np.full_like(rows, number)], axis=1))
    return np.concatenate(parts)


@lru_cache(maxsize=4)
def _pass(num: int, domain: str, seed: int, number: int) -> np.ndarray:
    """One pass of a stream; cached, as each step takes but a batch of it."""
    return permutation(num, "stream", domain, seed, number)


def balanced(labels: np.ndarray, *, domain: str, seed: int, epoch: int, count: int) -> np.ndarray:
    """`count` samples with every class equally often (to within one).

    Classes come in blocks, each a permutation of all classes; within a class samples come in passes, each a
    permutation of its samples, so that none is seen twice before all are seen once.
    """
    classes = np.unique(labels)
    blocks = -(-count // len(classes))
    turns = [permutation(len(classes), "class order", domain, seed, epoch, block) for block in range(blocks)]
    sequence = np.concatenate(turns)[:count]
    order = np.empty((count, 2), dtype=np.int64)
    for code in range(len(classes)):
        places = np.flatnonzero(sequence == code)
        if len(places) == 0:
            continue
        members = np.flatnonzero(labels == classes[code])
        own = stream(
            len(members), domain=f"{domain} {epoch} {classes[code]}", seed=seed, start=0, count=len(places)
        )
        order[places] = np.stack([members[own[:, 0]], own[:, 1]], axis=1)
    return order
