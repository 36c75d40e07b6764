"""Every parameter in exactly one group of the optimizer, from the start.

Groups are (stage x decay or not), the bottleneck, the head, and the objective's own modules. Freezing only
sets `requires_grad`; the groups never change, so a checkpoint fits whatever is open.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from transferlab.model.classifier import Classifier


def parameter_groups(network: Classifier, objective: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Groups for a torch optimizer, each with a `name`, a `stage` and a `weight_decay`.

    `stage` counts from the output: 1 is the backbone's last stage; 0 bottleneck and head; -1 the
    objective's modules.
    Norms, biases and other vectors get no weight decay.
    """
    backbone = network.backbone
    known = dict(backbone.network.named_parameters())
    parts: list[tuple[str, int, list[nn.Parameter]]] = []
    for position, stage in enumerate(backbone.stages):
        parameters = [known[name] for name in stage.parameters]
        parts.append((stage.name, len(backbone.stages) - position, parameters))
    parts.append(("bottleneck", 0, list(network.bottleneck.parameters())))
    parts.append(("head", 0, list(network.head.parameters())))
    parts.append(("objective", -1, list(objective.parameters())))
    spared: set[str] = getattr(backbone.network, "no_weight_decay", set)()  # e.g. position embeddings
    exempt = {id(known[name]) for name in spared if name in known}
    groups: list[dict[str, Any]] = []
    for name, depth, parameters in parts:
        vectors = [p for p in parameters if p.ndim <= 1 or id(p) in exempt]
        matrices = [p for p in parameters if p.ndim > 1 and id(p) not in exempt]
        for label, members, decay in (("", matrices, weight_decay), ("/no_decay", vectors, 0.0)):
            if members:
                groups.append(
                    {"name": name + label, "stage": depth, "params": members, "weight_decay": decay}
                )
    grouped = sum(len(group["params"]) for group in groups)
    assert grouped == sum(1 for _ in network.parameters()) + sum(1 for _ in objective.parameters())
    return groups
