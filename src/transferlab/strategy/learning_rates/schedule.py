"""Learning rates as a pure function of the step, and the optimizer's groups of parameters.

Rate of a group = base x factor of the group x schedule x warm-up. Discriminative rates and warm-up:
Howard & Ruder, ACL 2018, sections 3.2 and 3.3; the `ganin` schedule: Ganin et al., JMLR 2016, section 5.2.2.

Every parameter is in exactly one group, from the start: (stage x decay or not), the bottleneck, the head, and
the objective's own modules. Freezing only sets `requires_grad`; groups never change, so a checkpoint fits
whatever is open.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal

import torch
from timm.models._manipulate import group_with_matcher
from torch import nn

from transferlab.config.bounds import NonNegativeFloat, PositiveFloat, Share
from transferlab.model.classifier import Classifier
from transferlab.run.errors import UserError

_TENSORS_OF_A_LAYER = 12  # for a network that does not group its layers, as timm's `param_groups_layer_decay`


def schedule_factor(
    schedule: str, progress: float, epochs: float, step_epochs: float, step_factor: float
) -> float:
    """Factor of all rates when `progress` (0 to 1) of the training is over, after `epochs`.

    >>> [round(schedule_factor("cosine", p, 0, 1, 1), 3) for p in (0, 0.5, 1)]
    [1.0, 0.5, 0.0]
    >>> round(schedule_factor("ganin", 1.0, 0, 1, 1), 4)
    0.1656
    """
    if schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))
    if schedule == "step":
        return step_factor ** int(epochs // step_epochs)
    if schedule == "ganin":
        return (1.0 + 10.0 * progress) ** -0.75
    assert schedule == "constant", schedule
    return 1.0


def warmup_factor(epochs_open: float, warmup_epochs: float) -> float:
    """A straight line from zero to one over the first `warmup_epochs` after something opened."""
    return min(1.0, epochs_open / warmup_epochs) if warmup_epochs > 0 else 1.0


@dataclass(frozen=True, kw_only=True)
class LearningRates:
    """Rates of each group, and their optimizer; conf/strategy/learning_rates describes the arguments."""

    base: PositiveFloat = 1e-3
    backbone_factor: NonNegativeFloat = 0.1
    stage_decay: NonNegativeFloat = 1.0
    layer_decay: NonNegativeFloat = 1.0
    objective_factor: NonNegativeFloat = 1.0
    warmup_epochs: NonNegativeFloat = 0.0
    schedule: Literal["constant", "cosine", "step", "ganin"] = "cosine"
    step_epochs: PositiveFloat = 10.0
    step_factor: NonNegativeFloat = 0.1
    optimizer: str = "adamw"
    weight_decay: NonNegativeFloat = 0.01
    momentum: Share = 0.9
    optimizer_kwargs: dict = field(default_factory=dict)
    sam_rho: NonNegativeFloat = 0.0

    def group_factor(self, stage: int) -> float:
        """The factor of a group: stage 1 is the backbone's last, 0 the head, -1 the objective's modules."""
        if stage < 0:
            return self.objective_factor
        return 1.0 if stage == 0 else self.backbone_factor * self.stage_decay ** (stage - 1)

    def rate(self, stage: int, *, progress: float, epochs: float, opened: float) -> float:
        """The learning rate of a group.

        Args:
            stage: as in `group_factor`.
            progress: the part of the whole training that is over, 0 to 1.
            epochs: the same in epochs.
            opened: the epoch at whose start the group opened.
        """
        schedule = schedule_factor(self.schedule, progress, epochs, self.step_epochs, self.step_factor)
        warmup = warmup_factor(epochs - opened, self.warmup_epochs)
        return self.base * self.group_factor(stage) * schedule * warmup

    def make_optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """The optimizer over these groups, at the base rate.

        Raises:
            UserError: an unknown name, or arguments that the optimizer does not take.
        """
        from timm.optim import create_optimizer_v2, list_optimizers

        known = [str(name) for name in list_optimizers()]
        if self.optimizer.lower() not in known:
            close = get_close_matches(self.optimizer.lower(), known, n=3)
            hint = f" Did you mean {' or '.join(close)}?" if close else ""
            raise UserError(
                f"strategy.learning_rates.optimizer={self.optimizer}: timm has no such optimizer.{hint}"
            )
        try:
            return create_optimizer_v2(
                groups, self.optimizer, lr=self.base, momentum=self.momentum, **self.optimizer_kwargs
            )
        except (TypeError, ValueError, AssertionError) as error:
            raise UserError(
                f"strategy.learning_rates.optimizer={self.optimizer}: timm cannot make it with "
                f"momentum={self.momentum}, optimizer_kwargs={self.optimizer_kwargs} ({error})."
            ) from error


def layer_scales(network: nn.Module, layer_decay: float) -> dict[str, float]:
    """The factor of each parameter's rate, by name: `layer_decay` for each layer up to the classifier's.

    Layers are those that timm's `group_matcher` of the architecture counts, or twelve tensors each where it
    has none, so the factors equal those of timm's `param_groups_layer_decay` (Bao, Dong, Piao & Wei, BEiT,
    ICLR 2022).
    """
    names = [name for name, _ in network.named_parameters()]
    if layer_decay == 1.0:
        return dict.fromkeys(names, 1.0)
    matcher = getattr(network, "group_matcher", None)
    known = getattr(network, "pretrained_cfg", None) or {}
    classifier = f"{known.get('classifier', 'fc')}.weight"  # which the backbone is without
    if matcher is None:
        layers = {name: number // _TENSORS_OF_A_LAYER for number, name in enumerate(names)}
        layers[classifier] = max(layers.values(), default=-1) + 1
    else:
        everything = [*network.named_parameters(), (classifier, None)]
        layers = group_with_matcher(iter(everything), matcher(coarse=False), reverse=True)
    return {name: layer_decay ** (layers[classifier] - layers[name]) for name in names}


def parameter_groups(network: Classifier, objective: nn.Module, rates: LearningRates) -> list[dict[str, Any]]:
    """Groups for a torch optimizer, each with a `name`, a `stage`, a `scale` and a `weight_decay`.

    `stage` counts from the output: 1 is the backbone's last stage; 0 bottleneck and head; -1 the
    objective's modules.
    Norms, biases and other vectors get no weight decay. `scale` multiplies the stage's rate.
    """
    backbone = network.backbone
    known = dict(backbone.network.named_parameters())
    scales = layer_scales(backbone.network, rates.layer_decay)
    parts: list[tuple[str, int, float, list[nn.Parameter]]] = []
    for position, stage in enumerate(backbone.stages):
        own = sorted({scales[name] for name in stage.parameters}, reverse=True)
        for number, scale in enumerate(own):
            parameters = [known[name] for name in stage.parameters if scales[name] == scale]
            name = f"{stage.name}/-{number}" if number else stage.name  # /-1: a layer before its last one
            parts.append((name, len(backbone.stages) - position, scale, parameters))
    parts.append(("bottleneck", 0, 1.0, list(network.bottleneck.parameters())))
    parts.append(("head", 0, 1.0, list(network.head.parameters())))
    parts.append(("objective", -1, 1.0, list(objective.parameters())))
    spared: set[str] = getattr(backbone.network, "no_weight_decay", set)()  # e.g. position embeddings
    exempt = {id(known[name]) for name in spared if name in known}
    groups: list[dict[str, Any]] = []
    for name, depth, scale, parameters in parts:
        vectors = [p for p in parameters if p.ndim <= 1 or id(p) in exempt]
        matrices = [p for p in parameters if p.ndim > 1 and id(p) not in exempt]
        for label, members, decay in (("", matrices, rates.weight_decay), ("/no_decay", vectors, 0.0)):
            if members:
                group = {"name": name + label, "stage": depth, "scale": scale, "weight_decay": decay}
                groups.append({**group, "params": members})
    grouped = sum(len(group["params"]) for group in groups)
    assert grouped == sum(1 for _ in network.parameters()) + sum(1 for _ in objective.parameters())
    return groups
