"""Stacked heads give the scores and gradients of each head, and know which can be stacked."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.training.heads.problem import NUM_CLASSES, NUM_FEATURES, linear, mlp
from transferlab.training.heads.stacked_head import StackedHeads, structure


@pytest.mark.parametrize("make", [linear, mlp])
@pytest.mark.parametrize("same", [False, True])
def test_scores_and_gradients(make, same):
    heads = [make(seed) for seed in range(3)]
    stacked = StackedHeads.of(heads, torch.device("cpu"))
    assert stacked.num_classes == NUM_CLASSES
    features = torch.randn(6, NUM_FEATURES) if same else torch.randn(3, 6, NUM_FEATURES)
    found_JCB = stacked.scores(features)
    weights_JCB = torch.randn_like(found_JCB)
    gradients = torch.autograd.grad((weights_JCB * found_JCB).sum(), list(stacked.parameters.values()))
    for place, head in enumerate(heads):
        scores_BC = head(features if same else features[place])
        torch.testing.assert_close(found_JCB[place].mT, scores_BC)
        wanted = torch.autograd.grad((weights_JCB[place].mT * scores_BC).sum(), list(head.parameters()))
        for gradient, reference in zip(gradients, wanted, strict=True):
            torch.testing.assert_close(gradient[place], reference)
        for name, value in head.state_dict().items():
            assert torch.equal(stacked.state(place)[name], value)
    some = stacked.some([2, 0])
    torch.testing.assert_close(some.scores(features if same else features[[2, 0]]), found_JCB[[2, 0]])


def test_without_bias():
    heads = [nn.Linear(3, 2, bias=False) for _ in range(2)]
    features = torch.randn(4, 3)
    found = StackedHeads.of(heads, torch.device("cpu")).scores(features)
    torch.testing.assert_close(found[1].mT, heads[1](features))


def frozen() -> nn.Module:
    head = mlp(0)
    head[0].weight.requires_grad_(False)
    return head


@pytest.mark.parametrize(
    "head",
    [
        nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)),
        nn.Sequential(nn.Linear(3, 2), nn.ReLU()),
        nn.Sequential(),
        nn.Identity(),
        nn.Linear(3, 2).double(),
        nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)),
        frozen(),
    ],
    ids=lambda head: type(head).__name__,
)
def test_others_are_not_stacked(head):
    assert structure(head) is None


def test_only_equal_structures_are_stacked_with_each_other():
    assert structure(mlp(0, 0.1)) == structure(mlp(1, 0.5))  # each has its own share dropped
    others = [
        linear(0),
        mlp(0),
        nn.Linear(NUM_FEATURES, NUM_CLASSES, bias=False),
        nn.Sequential(nn.Linear(NUM_FEATURES, 9), nn.ReLU(), nn.Linear(9, NUM_CLASSES)),
        nn.Sequential(nn.Linear(NUM_FEATURES, 9), nn.GELU(), nn.Linear(9, NUM_CLASSES)),
        nn.Sequential(nn.Linear(NUM_FEATURES, 8), nn.GELU(), nn.Linear(8, NUM_CLASSES)),
    ]
    assert len({structure(head) for head in others}) == len(others)
