"""Sharpness-aware minimisation (SAM): a step's gradient is taken where the loss nearby is about highest.

Foret et al., Sharpness-aware minimization for efficiently improving generalization, ICLR 2021, algorithm 1
with p = 2: from weights w a step goes to w + rho g / ||g||, g being the gradient at w; the gradient there, of
the same batch, is what the optimizer moves w by. It costs two passes forward and backward.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

_TINY = 1e-12  # in the place of a norm of zero


@contextmanager
def ascended(module: nn.Module, rho: float) -> Iterator[None]:
    """Within this, parameters with a gradient are moved along it, by `rho` in the norm of all.

    Afterwards they are the very same as before, and so are the buffers, such as batch norms' statistics.
    """
    gradients = {parameter: parameter.grad for parameter in module.parameters() if parameter.grad is not None}
    tensors = [*gradients, *module.buffers()]
    before = [tensor.detach().clone() for tensor in tensors]
    with torch.no_grad():
        scale = rho / (nn.utils.get_total_norm(list(gradients.values())) + _TINY)
        for parameter, gradient in gradients.items():
            parameter.add_(gradient * scale.to(parameter.device))
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in zip(tensors, before, strict=True):
                tensor.copy_(value)
