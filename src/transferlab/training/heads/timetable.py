"""Where in its training a step stands, and how fast a group learns there."""

from __future__ import annotations

import math
from dataclasses import dataclass

from transferlab.strategy.learning_rates.schedule import LearningRates


@dataclass(frozen=True)
class Timetable:
    """Of a training of `max_epochs` (-1: no end is known) with `steps` optimizer steps each."""

    steps: int
    max_epochs: int

    def progress(self, step: int) -> float:
        """The part of the training that is over before `step`; 0 throughout where no end is known."""
        total = self.steps * self.max_epochs if self.max_epochs >= 0 else math.inf
        return min(step / total, 1.0)

    def rate(self, rates: LearningRates, stage: int, step: int) -> float:
        """The learning rate of a group that trains from the start; `stage` as in `LearningRates`."""
        return rates.rate(stage, progress=self.progress(step), epochs=step / self.steps, opened=0.0)
