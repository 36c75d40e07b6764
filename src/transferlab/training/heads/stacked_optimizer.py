"""AdamW and SGD for J heads at once, each with its own learning rate and weight decay.

The updates are those of torch.optim (Loshchilov & Hutter, Decoupled weight decay regularization, ICLR 2019;
Sutskever et al., On the importance of initialization and momentum in deep learning, ICML 2013), arranged in
few passes over the memory.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any, Protocol

import torch
from torch import nn

_PER_HEAD = {"params", "name", "stage", "lr", "initial_lr", "weight_decay"}
_SPEED_ONLY = {"foreach", "fused"}
_NOT_COVERED = {"amsgrad", "maximize", "capturable", "differentiable"}


class StackedOptimizer(Protocol):
    """Updates parameters `(J, ...)` in place."""

    def step(
        self, parameters: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor], rates_J: torch.Tensor
    ) -> None:
        """One step at these learning rates (fp64); the gradients are overwritten."""
        ...

    def keep(self, places: Sequence[int]) -> None:
        """Go on with these heads alone."""
        ...


def options(optimizer: torch.optim.Optimizer) -> Hashable | None:
    """Equal for optimizers that can be stacked with each other; None for one that cannot be at all."""
    groups = optimizer.param_groups
    covered = not any(group.get(name) for group in groups for name in _NOT_COVERED)
    if type(optimizer) not in (torch.optim.AdamW, torch.optim.SGD) or not covered:
        return None
    own = [{k: v for k, v in group.items() if k not in _PER_HEAD | _SPEED_ONLY} for group in groups]
    return type(optimizer), repr(own)


def stacked_optimizer(
    optimizers: Sequence[torch.optim.Optimizer], heads: Sequence[nn.Module], device: torch.device
) -> StackedOptimizer:
    """One for all; `optimizers` are those of the heads one by one, with equal `options`."""
    decays = []
    for optimizer, head in zip(optimizers, heads, strict=True):
        known = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
        decays.append([known[id(parameter)] for parameter in head.parameters()])
    columns = [
        torch.tensor(column, dtype=torch.float64, device=device) if any(column) else None
        for column in zip(*decays, strict=True)
    ]
    group = optimizers[0].param_groups[0]
    if type(optimizers[0]) is torch.optim.AdamW:
        return StackedAdamW(columns, group)
    return StackedSGD(columns, group)


class StackedAdamW:
    """AdamW; `decays`: for each parameter the weight decay of each head `(J,)`, None where all are 0."""

    def __init__(self, decays: Sequence[torch.Tensor | None], group: dict[str, Any]) -> None:
        self.decays = list(decays)
        (self.beta1, self.beta2), self.eps = group["betas"], group["eps"]
        self.steps = 0
        self.means: list[torch.Tensor] = []
        self.squares: list[torch.Tensor] = []

    @torch.no_grad()
    def step(
        self, parameters: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor], rates_J: torch.Tensor
    ) -> None:
        """See `StackedOptimizer`."""
        if self.steps == 0:
            self.means = [torch.zeros_like(parameter) for parameter in parameters]
            self.squares = [torch.zeros_like(parameter) for parameter in parameters]
        self.steps += 1
        root = math.sqrt(1 - self.beta2**self.steps)
        sizes_J = rates_J * (root / (1 - self.beta1**self.steps))
        for parameter, gradient, decay_J, mean, square in zip(
            parameters, gradients, self.decays, self.means, self.squares, strict=True
        ):
            if decay_J is not None:
                parameter.mul_(_column(1 - rates_J * decay_J, parameter))
            mean.lerp_(gradient, 1 - self.beta1)
            square.mul_(self.beta2).addcmul_(gradient, gradient, value=1 - self.beta2)
            direction = torch.sqrt(square, out=gradient).add_(self.eps * root)
            torch.div(mean, direction, out=direction)
            parameter.addcmul_(direction, _column(-sizes_J, parameter))

    def keep(self, places: Sequence[int]) -> None:
        """See `StackedOptimizer`."""
        self.decays = [decay_J if decay_J is None else decay_J[list(places)] for decay_J in self.decays]
        self.means = [mean[list(places)] for mean in self.means]
        self.squares = [square[list(places)] for square in self.squares]


class StackedSGD:
    """SGD with or without momentum; `decays` as in `StackedAdamW`."""

    def __init__(self, decays: Sequence[torch.Tensor | None], group: dict[str, Any]) -> None:
        self.decays = list(decays)
        self.momentum, self.dampening = group["momentum"], group["dampening"]
        self.nesterov = group["nesterov"]
        self.velocities: list[torch.Tensor] = []

    @torch.no_grad()
    def step(
        self, parameters: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor], rates_J: torch.Tensor
    ) -> None:
        """See `StackedOptimizer`."""
        for parameter, gradient, decay_J in zip(parameters, gradients, self.decays, strict=True):
            if decay_J is not None:
                gradient.addcmul_(parameter, _column(decay_J, parameter))
        for parameter, direction in zip(parameters, self._directions(gradients), strict=True):
            parameter.addcmul_(direction, _column(-rates_J, parameter))

    def _directions(self, gradients: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        if self.momentum == 0:
            return gradients
        if not self.velocities:
            self.velocities = [gradient.clone() for gradient in gradients]
        else:
            for velocity, gradient in zip(self.velocities, gradients, strict=True):
                velocity.mul_(self.momentum).add_(gradient, alpha=1 - self.dampening)
        if not self.nesterov:
            return self.velocities
        return [
            gradient.add_(velocity, alpha=self.momentum)
            for gradient, velocity in zip(gradients, self.velocities, strict=True)
        ]

    def keep(self, places: Sequence[int]) -> None:
        """See `StackedOptimizer`."""
        self.decays = [decay_J if decay_J is None else decay_J[list(places)] for decay_J in self.decays]
        self.velocities = [velocity[list(places)] for velocity in self.velocities]


def _column(values_J: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    """One factor for each head, to multiply a parameter `(J, ...)` with."""
    return values_J.to(parameter.dtype).view(-1, *[1] * (parameter.ndim - 1))
