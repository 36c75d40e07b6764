"""The step of SAM towards a higher loss, by hand, and back."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from transferlab.strategy.learning_rates.sharpness import ascended


def test_weights_move_along_the_gradient_and_come_back_bit_for_bit():
    norm = nn.BatchNorm1d(3)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.1, 0.7, 1e-9]))
    norm.weight.grad, norm.bias.requires_grad = torch.tensor([3.0, 0.0, 4.0]), False
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    with ascended(norm, 0.5):
        torch.testing.assert_close(norm.weight.detach(), before["weight"] + torch.tensor([0.3, 0.0, 0.4]))
        assert torch.equal(norm.bias, before["bias"])
        norm(torch.randn(4, 3))
        assert norm.num_batches_tracked == 1
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())


def test_without_a_slope_nothing_moves_and_after_an_error_all_is_back():
    layer = nn.Linear(2, 1)
    layer.weight.grad = torch.zeros(1, 2)
    before = layer.weight.detach().clone()
    with ascended(layer, 1.0):
        assert torch.equal(layer.weight, before)
    layer.weight.grad = torch.ones(1, 2)
    with pytest.raises(ValueError, match="loss"), ascended(layer, 1.0):
        raise ValueError("loss")
    assert torch.equal(layer.weight, before)
