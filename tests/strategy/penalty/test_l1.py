"""L1 against its closed form."""

from __future__ import annotations

import torch

from tests.strategy.tiny import tiny_classifier
from transferlab.backbone.freezing import freeze_all_but_last
from transferlab.strategy.penalty.l1 import L1


def test_closed_form_and_gradient():
    network = tiny_classifier()
    loss = L1(strength=0.5).penalty(network)
    weights = [p for p in network.parameters() if p.ndim > 1]
    expected = 0.5 * sum(weight.detach().abs().double().sum() for weight in weights)
    torch.testing.assert_close(loss.double(), expected)
    loss.backward()
    for parameter in network.parameters():
        if parameter.ndim > 1:
            assert torch.equal(parameter.grad, 0.5 * parameter.detach().sign())
        else:
            assert parameter.grad is None  # norms and biases


def test_frozen_weights_do_not_count():
    network = tiny_classifier()
    freeze_all_but_last(network.backbone, 0)
    torch.testing.assert_close(L1(strength=2.0).penalty(network), 2.0 * network.head.weight.abs().sum())
