"""Stacked optimizers against torch.optim, one for each head."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from transferlab.training.heads.stacked_optimizer import options, stacked_optimizer

RATES = [0.3, 0.1, 0.03]
DECAYS = [0.0, 0.2, 0.01]
AdamW, SGD = torch.optim.AdamW, torch.optim.SGD
CASES = {
    "adamw": (AdamW, {}),
    "adamw, other betas": (AdamW, {"betas": (0.5, 0.9), "eps": 1e-3}),
    "sgd": (SGD, {}),
    "momentum": (SGD, {"momentum": 0.9}),
    "nesterov": (SGD, {"momentum": 0.9, "nesterov": True}),
    "dampening": (SGD, {"momentum": 0.9, "dampening": 0.3}),
}


def optimizers(kind, settings, *, decays=DECAYS) -> tuple[list[nn.Linear], list[torch.optim.Optimizer]]:
    torch.manual_seed(0)
    heads = [nn.Linear(5, 4) for _ in RATES]
    made = [
        kind(
            [{"params": [h.weight], "weight_decay": d}, {"params": [h.bias], "weight_decay": 0.0}], **settings
        )
        for h, d in zip(heads, decays, strict=True)
    ]
    return heads, made


@pytest.mark.parametrize("decays", [DECAYS, [0.0] * 3])
@pytest.mark.parametrize("name", CASES)
def test_equals_torch(name, decays):
    kind, settings = CASES[name]
    heads, singles = optimizers(kind, settings, decays=decays)
    assert len({options(single) for single in singles}) == 1
    stacked = stacked_optimizer(singles, heads, torch.device("cpu"))
    parameters = [
        torch.stack([getattr(head, name).detach() for head in heads]) for name in ("weight", "bias")
    ]
    kept = [0, 1, 2]
    for step in range(7):
        if step == 4:  # the head in the middle has stopped
            kept = [0, 2]
            stacked.keep(kept)
            parameters = [parameter[kept] for parameter in parameters]
        factor = 1 - step / 10
        gradients = [torch.randn_like(parameter) for parameter in parameters]
        for place, position in enumerate(kept):
            head, single = heads[position], singles[position]
            head.weight.grad, head.bias.grad = (gradient[place].clone() for gradient in gradients)
            for group in single.param_groups:
                group["lr"] = factor * RATES[position]
            single.step()
        rates_J = factor * torch.tensor([RATES[position] for position in kept], dtype=torch.float64)
        stacked.step(parameters, gradients, rates_J)
        for place, position in enumerate(kept):
            torch.testing.assert_close(parameters[0][place], heads[position].weight.data, rtol=0, atol=1e-6)
            torch.testing.assert_close(parameters[1][place], heads[position].bias.data, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (AdamW, {"amsgrad": True}),
        (AdamW, {"maximize": True}),
        (SGD, {"maximize": True}),
        (torch.optim.Adam, {}),
        (torch.optim.RMSprop, {}),
    ],
)
def test_others_are_not_stacked(kind, settings):
    assert options(optimizers(kind, settings)[1][0]) is None


def test_different_ones_are_not_stacked_with_each_other():
    kinds = [CASES[name] for name in CASES]
    found = {options(optimizers(kind, settings)[1][0]) for kind, settings in kinds}
    assert len(found) == len(kinds)
    assert options(optimizers(AdamW, {"fused": True})[1][0]) == options(optimizers(AdamW, {})[1][0])
