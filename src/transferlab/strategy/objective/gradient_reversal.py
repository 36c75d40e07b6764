"""The gradient reversal layer: the identity forwards, minus lambda times the gradient backwards.

Ganin & Lempitsky, Unsupervised domain adaptation by backpropagation, ICML 2015, equations 7 and 8.
"""

from __future__ import annotations

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
