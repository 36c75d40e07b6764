"""Freezing of stages: `requires_grad`, and the mode of their norms.

Called after DDP has wrapped the network: a layer that is frozen before gets unsynchronised gradients once
opened, silently.
"""

from __future__ import annotations

from torch.nn.modules.batchnorm import _BatchNorm

from transferlab.backbone.network import Backbone
from transferlab.backbone.stages import stage_of_modules


def freeze_all_but_last(
    backbone: Backbone, trainable_stages: int, *, freeze_scale_and_shift: bool = False
) -> None:
    """Let gradients into the last `trainable_stages` stages only; with the last argument not into their batch
    norms.
    """
    first_open = len(backbone.stages) - trainable_stages
    for position, stage in enumerate(backbone.stages):
        for name in stage.parameters:
            backbone.network.get_parameter(name).requires_grad_(position >= first_open)
    if freeze_scale_and_shift:
        for module in backbone.network.modules():
            if isinstance(module, _BatchNorm):
                module.requires_grad_(False)


def set_modes(backbone: Backbone, trainable_stages: int, *, freeze_bn: bool) -> None:
    """Training mode for what trains, evaluation mode for what is frozen.

    A frozen stage uses and keeps the statistics of its pretraining and drops nothing out; a backbone without
    any trainable stage is in evaluation mode as a whole, so that its features never change.
    """
    backbone.train(trainable_stages > 0)
    if trainable_stages == 0:
        return
    first_open = max(len(backbone.stages) - trainable_stages, 0)
    open_stages = backbone.stages[first_open:]
    without_parameters = stage_of_modules(backbone.network, backbone.stages)
    trained = {part for stage in open_stages for name in stage.parameters for part in _above(name)}
    for name, module in backbone.network.named_modules():
        if name in without_parameters:
            is_frozen = without_parameters[name] < first_open
        else:
            is_frozen = name not in trained and next(module.parameters(), None) is not None
        if is_frozen or (freeze_bn and isinstance(module, _BatchNorm)):
            module.eval()


def _above(parameter: str) -> list[str]:
    """The names of the modules that hold a parameter, the network itself (the empty name) included."""
    parts = parameter.split(".")
    return [".".join(parts[:depth]) for depth in range(len(parts))]
