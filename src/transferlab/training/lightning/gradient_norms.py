"""How large the gradients of a step are: the backbone's, those of what follows it, the objective's own."""

from __future__ import annotations

from collections.abc import Mapping

import torch

_BATCHES_BETWEEN = 10  # a norm reads every gradient once; so many batches make that nothing


def gradients_are_due(counts: Mapping[str, int]) -> bool:
    """Whether to measure in this step, by how often an epoch has observed what: in its first, then in each
    tenth.
    """
    return counts.get("loss", 0) > _BATCHES_BETWEEN * counts.get("gradient_norm/head", 0)


def gradient_norms(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """L2 norms of the gradients by part; parts without gradients, as a frozen backbone, are left out.

    The optimizer's groups are those of `parameter_groups`. A loss that is scaled (16-mixed) has been
    unscaled; a step that overflowed has an infinite norm.
    """
    gradients: dict[str, list[torch.Tensor]] = {}
    for group in optimizer.param_groups:
        part = "backbone" if group["stage"] > 0 else group["name"].removesuffix("/no_decay")
        gradients.setdefault(part, []).extend(
            parameter.grad for parameter in group["params"] if parameter.grad is not None
        )
    return {
        f"gradient_norm/{part}": torch.nn.utils.get_total_norm(of_part)
        for part, of_part in gradients.items()
        if of_part
    }
