"""A critic of the domains: a small network behind a gradient reversal, its loss and its accuracy.

Ganin et al., Domain-adversarial training of neural networks, JMLR 17 (2016). No sigmoid and no batch norm in
it (TLlib has both): the loss of a logit stays finite, and a critic with batch norm would see the domains'
proportions in its statistics.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, factor: float) -> torch.Tensor:
        ctx.factor = factor
        return inputs.view_as(inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return -ctx.factor * gradients[0], None


def reverse_gradient(inputs: torch.Tensor, factor: float) -> torch.Tensor:
    """`inputs` unchanged; the gradient that comes back is multiplied by `-factor`.

    Ganin & Lempitsky, Unsupervised domain adaptation by backpropagation, ICML 2015, equations 7 and 8.
    """
    return _Reverse.apply(inputs, factor)


def make_critic(
    num_inputs: int, hidden_units: int, hidden_layers: int, *, num_outputs: int = 1
) -> nn.Sequential:
    """`(N, num_inputs)` to logits `(N, num_outputs)`: `hidden_layers` times (linear, ReLU), then linear."""
    layers: list[nn.Module] = []
    width = num_inputs
    for _ in range(hidden_layers):
        layers += [nn.Linear(width, hidden_units), nn.ReLU()]
        width = hidden_units
    return nn.Sequential(*layers, nn.Linear(width, num_outputs))


def behind_reversal(
    module: nn.Module, source_ND: torch.Tensor, target_MD: torch.Tensor, factor: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs of `module` for both domains, whose own gradient comes back times `-factor`.

    `(N,)` and `(M,)` where it has one output, else `(N, C)` and `(M, C)`. In fp32 outside of autocast, unless
    the whole module was made bf16 or fp64.
    """
    both_PD = torch.cat([source_ND, target_MD])
    with torch.autocast(both_PD.device.type, enabled=False):
        own_type = next(module.parameters()).dtype
        both = module(reverse_gradient(both_PD.to(own_type), factor)).squeeze(1)
    return both[: len(source_ND)], both[len(source_ND) :]


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


def critic_metrics(scores_source_N: torch.Tensor, scores_target_M: torch.Tensor) -> dict[str, torch.Tensor]:
    """Accuracy of the critic on the domains (0.5 each is healthy), and how far its logits differ.

    A critic that answers the same for everything is right about one domain and wrong about the other, or has
    a spread (standard deviation of the logits) of nearly 0.
    """
    scores = torch.cat([scores_source_N, scores_target_M]).float()
    return {
        "critic_accuracy_source": (scores_source_N > 0).float().mean(),
        "critic_accuracy_target": (scores_target_M <= 0).float().mean(),
        "critic_spread": scores.std(correction=0),
    }
