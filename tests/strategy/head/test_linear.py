"""The linear head: small and without preference."""

from __future__ import annotations

import torch

from transferlab.strategy.head.linear import Linear


def test_fresh_head_is_small_and_hardly_prefers_a_class():
    torch.manual_seed(0)
    head = Linear().build(512, 100)
    assert head.weight.shape == (100, 512)
    assert abs(head.weight.mean().item()) < 1e-4
    assert abs(head.weight.std().item() - 0.01) < 1e-4
    assert (head.bias == 0).all()
    probabilities = head(torch.randn(4, 512).relu()).softmax(1)
    assert (probabilities - 0.01).abs().max() < 0.01


def test_it_is_a_function_of_the_seed():
    torch.manual_seed(3)
    one = Linear().build(8, 2)
    torch.manual_seed(3)
    other = Linear().build(8, 2)
    assert torch.equal(one.weight, other.weight)


def test_it_learns_by_gradients():
    assert Linear.solver == "gradient"
