"""Gradual unfreezing: one more stage every few epochs, from the output to the input.

Howard & Ruder, Universal language model fine-tuning for text classification, ACL 2018, section 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass

from transferlab.config.bounds import NonNegativeInt, PositiveInt
from transferlab.strategy.parts import History, Phase, Unfreezing


def stages_open(epoch: int, every_epochs: int, first: int, num_stages: int) -> int:
    """Number of stages that are open in an epoch.

    >>> [stages_open(epoch, every_epochs=2, first=0, num_stages=3) for epoch in range(8)]
    [0, 0, 1, 1, 2, 2, 3, 3]
    """
    return min(first + epoch // every_epochs, num_stages)


@dataclass(frozen=True, kw_only=True)
class Gradual(Unfreezing):
    """`first` stages from the start, one more every `every_epochs` epochs."""

    every_epochs: PositiveInt = 1
    first: NonNegativeInt = 0

    def trainable_stages(self, epoch: int, history: History, num_stages: int) -> int:
        """See `Unfreezing`."""
        return stages_open(epoch, self.every_epochs, self.first, num_stages)

    def phase(self, history: History, num_stages: int) -> Phase:
        """See `Unfreezing`."""
        open_now = self.trainable_stages(len(history) - 1, history, num_stages)
        return "settled" if open_now == num_stages else "opening"
