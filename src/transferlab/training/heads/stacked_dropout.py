"""Dropout of many heads at once, each with the numbers that it would draw alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from transferlab.run.randomness import derived_seed
from transferlab.training.heads.head_job import HeadJob
from transferlab.training.heads.stacked_head import layers_of


def dropped_shares(job: HeadJob) -> tuple[float, ...]:
    """Share that is dropped before the head and by each dropout layer in it, in the order of the draws."""
    layers = layers_of(job.head) or []
    return (job.head_dropout, *(layer.p for _, layer in layers if isinstance(layer, nn.Dropout)))


class StackedDropout:
    """The factors of the kept values, 1 / (1 - p), and 0 for the others; drawn anew for each step.

    Heads of the same seed and shares draw the same, so that it is drawn once.

    Args:
        jobs: of the heads, at least one of which drops anything; on a CPU.
        num_features: that go into them.
    """

    def __init__(self, jobs: Sequence[HeadJob], num_features: int) -> None:
        self.jobs = list(jobs)
        self.shares = [dropped_shares(job) for job in jobs]
        self.widths = [num_features]
        for _, layer in layers_of(jobs[0].head) or []:
            if isinstance(layer, nn.Linear):
                width = layer.out_features
            elif isinstance(layer, nn.Dropout):
                self.widths.append(width)
        self.generator = torch.Generator()
        self.factors: list[torch.Tensor | None] = []

    @property
    def before_the_head(self) -> bool:
        """True if features are dropped, so that heads see different ones of the same batch."""
        return any(shares[0] > 0 for shares in self.shares)

    def draw(self, epoch: int, batch: int, batch_size: int) -> Sequence[torch.Tensor | None]:
        """The factors before the head and of each dropout layer, `(J, B, width)`; None where none drops.

        They are valid until the next draw.
        """
        self._allocate(batch_size)
        first: dict[tuple[int, tuple[float, ...]], int] = {}
        for place, (job, shares) in enumerate(zip(self.jobs, self.shares, strict=True)):
            twin = first.setdefault((job.seed, shares), place)
            if twin == place:
                self.generator.manual_seed(derived_seed("step", job.seed, epoch, batch, 0))
            for share, factors_JBW in zip(shares, self.factors, strict=True):
                if share == 0 or factors_JBW is None:
                    continue
                if twin == place:  # the very calls of torch's dropout
                    factors_JBW[place].bernoulli_(1 - share, generator=self.generator).div_(1 - share)
                else:
                    factors_JBW[place].copy_(factors_JBW[twin])
        return self.factors

    def _allocate(self, batch_size: int) -> None:
        if self.factors and any(f is not None and f.shape[1] == batch_size for f in self.factors):
            return
        self.factors = [
            torch.ones(len(self.jobs), batch_size, width) if any(column) else None
            for width, column in zip(self.widths, zip(*self.shares, strict=True), strict=True)
        ]

    def keep(self, places: Sequence[int]) -> None:
        """Go on with these heads alone."""
        self.jobs = [self.jobs[place] for place in places]
        self.shares = [self.shares[place] for place in places]
        self.factors = []
