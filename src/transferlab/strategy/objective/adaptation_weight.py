"""Lambda: how much adaptation counts, from nothing at the start to its full weight.

Ganin et al., Domain-adversarial training of neural networks, JMLR 17 (2016), section 5.2.2: early on the
features are noise, and what they would be aligned by is noise too. One schedule for every objective: it
scales the reversed gradient of a critic, or the loss of a discrepancy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from transferlab.config.bounds import NonNegativeFloat, PositiveFloat, Probability


def share_of_weight(progress: float, *, steepness: float, horizon: float) -> float:
    """From 0 at the start to nearly 1 when `horizon` of the training is over; a horizon of 0: 1 throughout.

    With p = progress / horizon: `2 / (1 + exp(-steepness p)) - 1`. Ganin et al. have a steepness of 10 over
    the whole training. TLlib counts steps, `2 / (1 + exp(-step / 1000)) - 1`, which is a steepness of a
    thousandth of the training's steps: 20 in its usual run of 20 epochs of 1,000 steps.

    >>> [round(share_of_weight(p, steepness=10.0, horizon=1.0), 3) for p in (0, 0.1, 1)]
    [0.0, 0.462, 1.0]
    """
    if horizon == 0:
        return 1.0
    return 2.0 / (1.0 + math.exp(-steepness * min(progress / horizon, 1.0))) - 1.0


# What the arguments of an objective that has one are
Weight = NonNegativeFloat
Steepness = PositiveFloat
Horizon = Probability


@dataclass(frozen=True, kw_only=True)
class AdaptationWeight:
    """Lambda as a function of the progress.

    Attributes:
        weight: the largest lambda, 0 or more.
        steepness: how fast it grows, above 0.
        horizon: the part of the training after which it has run its course, 0 to 1.
    """

    weight: Weight
    steepness: Steepness
    horizon: Horizon

    def at(self, progress: float) -> float:
        """Lambda when `progress` (0 to 1) of the training is over."""
        return self.weight * share_of_weight(progress, steepness=self.steepness, horizon=self.horizon)


def as_scalar(value: float, like: torch.Tensor) -> torch.Tensor:
    """A number to be observed, made on the device of `like` (nothing is copied there, nothing waits)."""
    return torch.full((), value, device=like.device)
