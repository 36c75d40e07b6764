"""A critic of the domains: a small network behind a gradient reversal, its loss and its accuracy.

Ganin et al., Domain-adversarial training of neural networks, JMLR 17 (2016). No sigmoid and no batch norm in
it (TLlib has both): the loss of a logit stays finite, and a critic with batch norm would see the domains'
proportions in its statistics.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from transferlab.strategy.objective.gradient_reversal import reverse_gradient


def make_critic(
    num_inputs: int, *, hidden_units: int, hidden_layers: int, num_outputs: int = 1
) -> nn.Sequential:
    """`(N, num_inputs)` to logits `(N, num_outputs)`: `hidden_layers` times (linear, ReLU), then linear."""
    layers: list[nn.Module] = []
    width = num_inputs
    for _ in range(hidden_layers):
        layers += [nn.Linear(width, hidden_units), nn.ReLU()]
        width = hidden_units
    return nn.Sequential(*layers, nn.Linear(width, num_outputs))


def behind_reversal(module: nn.Module, inputs_ND: torch.Tensor, factor: float) -> torch.Tensor:
    """What `module` makes of the inputs, whose own gradient comes back times `-factor`.

    In fp32 outside of autocast, unless the whole module was made bf16 or fp64.
    """
    with torch.autocast(inputs_ND.device.type, enabled=False):
        own_type = next(module.parameters()).dtype
        return module(reverse_gradient(inputs_ND.to(own_type), factor))


def domain_loss(
    scores_source_N: torch.Tensor,
    scores_target_M: torch.Tensor,
    weights_source_N: torch.Tensor | None = None,
    weights_target_M: torch.Tensor | None = None,
) -> torch.Tensor:
    """Binary cross-entropy of the critic's logits (source 1, target 0) in fp32; each domain weighs one half.

    Samples of a domain count by their weights, whose scale does not matter; equally without.
    """
    source = functional.softplus(-scores_source_N.float())
    target = functional.softplus(scores_target_M.float())
    return (_mean(source, weights_source_N) + _mean(target, weights_target_M)) / 2


def _mean(losses_N: torch.Tensor, weights_N: torch.Tensor | None) -> torch.Tensor:
    return losses_N.mean() if weights_N is None else (weights_N * losses_N).sum() / weights_N.sum()


def critic_figures(scores_source_N: torch.Tensor, scores_target_M: torch.Tensor) -> dict[str, torch.Tensor]:
    """How well the critic tells the domains apart (0.5 each is healthy), and how far its logits differ.

    A critic that answers the same for everything is right about one domain and wrong about the other, or has
    a spread (standard deviation of the logits) of nearly 0.
    """
    scores = torch.cat([scores_source_N, scores_target_M]).float()
    return {
        "critic_accuracy_source": (scores_source_N > 0).float().mean(),
        "critic_accuracy_target": (scores_target_M <= 0).float().mean(),
        "critic_spread": scores.std(correction=0),
    }
