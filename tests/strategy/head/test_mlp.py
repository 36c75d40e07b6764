"""The head with hidden layers: its shape, its start, its part in penalties and groups."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.strategy.tiny import tiny_classifier
from transferlab.strategy.head.linear import Linear
from transferlab.strategy.head.mlp import MLP
from transferlab.strategy.learning_rates.schedule import LearningRates, parameter_groups
from transferlab.strategy.objective.cross_entropy import CrossEntropy
from transferlab.strategy.penalty.l1 import L1
from transferlab.strategy.penalty.l2_sp import L2SP


@pytest.mark.parametrize(("activation", "function"), [("relu", functional.relu), ("gelu", functional.gelu)])
def test_scores_by_hand(activation, function):
    head = MLP(hidden_units=5, hidden_layers=2, activation=activation, dropout=0.5).build(4, 3).eval()
    first, second, last = [layer for layer in head if isinstance(layer, nn.Linear)]
    features_ND = torch.randn(6, 4)
    hidden = function(features_ND @ first.weight.T + first.bias)
    hidden = function(hidden @ second.weight.T + second.bias)
    torch.testing.assert_close(head(features_ND), hidden @ last.weight.T + last.bias)
    assert [layer.weight.shape for layer in (first, second, last)] == [(5, 4), (5, 5), (3, 5)]


def test_dropout_stands_between_hidden_and_last():
    head = MLP(hidden_units=1000, dropout=0.25).build(4, 3).train()
    for layer in (head[0], head[-1]):
        nn.init.zeros_(layer.weight)
        nn.init.ones_(layer.bias)
    nn.init.ones_(head[-1].weight)
    kept = (head(torch.zeros(50, 4)) - 1) * 0.75  # what is kept counts 1 / 0.75 times
    assert abs(kept.mean().item() / 1000 - 0.75) < 0.01


def test_without_hidden_layers_it_is_the_linear_head():
    torch.manual_seed(0)
    (only,) = MLP(hidden_layers=0).build(7, 2)
    torch.manual_seed(0)
    assert torch.equal(only.weight, Linear().build(7, 2).weight)


def test_start():
    """He's variance keeps the scale of features; the last layer hardly prefers a class."""
    torch.manual_seed(0)
    head = MLP(hidden_units=2000, hidden_layers=2).build(1000, 10)
    first, second, last = [layer for layer in head if isinstance(layer, nn.Linear)]
    assert abs(first.weight.var().item() * 1000 - 2) < 0.02
    assert abs(second.weight.var().item() * 2000 - 2) < 0.02
    assert abs(last.weight.std().item() - 0.01) < 1e-3
    assert all((layer.bias == 0).all() for layer in (first, second, last))


def test_matrices_decay_and_vectors_do_not():
    network = tiny_classifier(head=MLP(hidden_units=5, hidden_layers=2))
    groups = {
        group["name"]: group
        for group in parameter_groups(network, CrossEntropy(), LearningRates(weight_decay=0.1))
    }
    assert groups["head"]["weight_decay"] == 0.1
    assert [p.ndim for p in groups["head"]["params"]] == [2, 2, 2]
    assert groups["head/no_decay"]["weight_decay"] == 0.0
    assert [p.ndim for p in groups["head/no_decay"]["params"]] == [1, 1, 1]
    assert {groups["head"]["stage"], groups["head/no_decay"]["stage"]} == {0}


def test_penalties_count_every_matrix_of_it():
    network = tiny_classifier(head=MLP(hidden_units=5))
    weights = [network.head[0].weight, network.head[-1].weight]
    l2_sp = L2SP(head_strength=0.4)
    l2_sp.remember(network)
    expected = 0.2 * sum(weight.square().sum() for weight in weights)
    torch.testing.assert_close(l2_sp.penalty(network), expected)
    network.backbone.requires_grad_(False)
    expected = 2.0 * sum(weight.abs().sum() for weight in weights)
    torch.testing.assert_close(L1(strength=2.0).penalty(network), expected)
