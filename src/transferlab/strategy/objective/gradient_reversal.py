"""The gradient reversal layer: the identity forwards, minus lambda times the gradient backwards.

Ganin & Lempitsky, Unsupervised domain adaptation by backpropagation, ICML 2015, equations 7 and 8.
"""

from __future__ import annotations

import math
from typing import Any

import torch


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, factor: float) -> torch.Tensor:
        ctx.factor = factor
        return inputs.view_as(inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return -ctx.factor * gradients[0], None


def reverse_gradient(inputs: torch.Tensor, factor: float) -> torch.Tensor:
    """`inputs` unchanged; the gradient that comes back is multiplied by `-factor`."""
    return _Reverse.apply(inputs, factor)


def reversal_factor(progress: float, *, weight: float, steepness: float, horizon: float) -> float:
    """Lambda: from 0 at the start to nearly `weight` when `horizon` of the training is over.

    Ganin et al. 2016, section 5.2.2: `2 / (1 + exp(-10 p)) - 1`.

    >>> [round(reversal_factor(p, weight=1.0, steepness=10.0, horizon=1.0), 3) for p in (0, 0.1, 1)]
    [0.0, 0.462, 1.0]
    """
    p = min(progress / horizon, 1.0) if horizon > 0 else 1.0
    return weight * (2.0 / (1.0 + math.exp(-steepness * p)) - 1.0)
