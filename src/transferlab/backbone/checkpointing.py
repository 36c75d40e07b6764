"""Gradient checkpointing: recompute activations in the backward pass instead of storing them.

Chen et al., Training deep nets with sublinear memory cost, 2016. timm does it; this keeps batch norms from
counting a recomputed batch twice, so that the switch changes nothing but memory and time.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def checkpoint_gradients(network: nn.Module) -> None:
    """Switch it on.

    Raises:
        AttributeError, AssertionError: timm does not offer it for this network.
    """
    network.set_grad_checkpointing(True)  # type: ignore[operator]
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.register_forward_pre_hook(partial(_count_once, module.momentum))


def _count_once(momentum: float | None, norm: _BatchNorm, inputs: tuple) -> None:
    """Leave running statistics as they are in a forward pass that is repeated within the backward pass."""
    is_repeated = torch._C._current_graph_task_id() != -1
    norm.momentum = 0.0 if is_repeated else momentum
    if is_repeated and norm.training and norm.num_batches_tracked is not None:
        norm.num_batches_tracked -= 1
