"""Which stages train: `requires_grad`, and the mode of their norms.

Called after DDP has wrapped the network: a layer that is frozen before gets unsynchronised gradients once
opened, silently.
"""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from transferlab.backbone.network import Backbone
from transferlab.backbone.stages import stage_modules


def freeze_all_but_last(backbone: Backbone, trainable_stages: int) -> None:
    """Let gradients into the last `trainable_stages` stages only."""
    first_open = len(backbone.stages) - trainable_stages
    for position, stage in enumerate(backbone.stages):
        for name in stage.parameters:
            backbone.network.get_parameter(name).requires_grad_(position >= first_open)


def set_modes(backbone: Backbone, trainable_stages: int, *, freeze_bn: bool) -> None:
    """Training mode for what trains, evaluation mode for what is frozen.

    A frozen stage uses and keeps the statistics of its pretraining; a backbone without any trainable stage
    is in evaluation mode as a whole (stochastic depth too), so that its features never change.
    """
    backbone.train(trainable_stages > 0)
    if trainable_stages == 0:
        return
    for stage in backbone.stages[: len(backbone.stages) - trainable_stages]:
        for module in stage_modules(backbone.network, stage):
            module.eval()
    if freeze_bn:
        for module in backbone.modules():
            if isinstance(module, _BatchNorm):
                module.eval()


def count_trainable(module: nn.Module) -> int:
    """The number of scalars that an optimizer may change now."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
