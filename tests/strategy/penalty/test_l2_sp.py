"""L2-SP against its closed form, and its memory of the start."""

from __future__ import annotations

import torch

from tests.strategy.tiny import tiny_classifier
from transferlab.backbone.freezing import freeze_all_but_last
from transferlab.model.classifier import Classifier, make_bottleneck
from transferlab.strategy.penalty.l2_sp import L2SP


def moved(network: Classifier) -> dict[str, torch.Tensor]:
    """Move every weight of the backbone; by how much, by name."""
    steps = {name: torch.randn_like(p) for name, p in network.backbone.named_parameters()}
    with torch.no_grad():
        for name, parameter in network.backbone.named_parameters():
            parameter += steps[name]
    return steps


def test_only_the_head_costs_at_the_start():
    network = tiny_classifier()
    penalty = L2SP(strength=3.0, head_strength=0.4)
    penalty.remember(network)
    torch.testing.assert_close(penalty.penalty(network), 0.2 * network.head.weight.square().sum())


def test_closed_form_and_gradient():
    network = tiny_classifier()
    penalty = L2SP(strength=3.0, head_strength=0.4)
    penalty.remember(network)
    steps = moved(network)
    loss = penalty.penalty(network)
    distance = sum(step.double().square().sum() for step in steps.values())
    expected = 1.5 * distance + 0.2 * network.head.weight.detach().double().square().sum()
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=0)
    loss.backward()
    for name, parameter in network.backbone.named_parameters():
        torch.testing.assert_close(parameter.grad, 3.0 * steps[name], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(network.head.weight.grad, 0.4 * network.head.weight.detach())
    assert network.head.bias.grad is None


def test_a_bottleneck_is_as_fresh_as_the_head():
    network = tiny_classifier()
    width = network.backbone.num_features
    network.bottleneck = make_bottleneck(width, width)
    penalty = L2SP(strength=0.0, head_strength=0.4)
    penalty.remember(network)
    weights = network.bottleneck[0].weight, network.head.weight
    expected = 0.2 * sum(weight.detach().square().sum() for weight in weights)
    loss = penalty.penalty(network)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    torch.testing.assert_close(weights[0].grad, 0.4 * weights[0].detach())
    assert network.bottleneck[1].weight.grad is None  # a norm's scale starts at 1, not at 0


def test_frozen_stages_do_not_count():
    network = tiny_classifier()
    penalty = L2SP(strength=3.0, head_strength=0.0)
    penalty.remember(network)
    steps = moved(network)
    freeze_all_but_last(network.backbone, 1)
    last = {f"network.{name}" for name in network.backbone.stages[-1].parameters}
    expected = 1.5 * sum(step.square().sum() for name, step in steps.items() if name in last)
    torch.testing.assert_close(penalty.penalty(network), expected)
    freeze_all_but_last(network.backbone, 0)
    assert penalty.penalty(network) == 0


def test_the_start_travels_in_the_state_dict():
    """A resumed run builds its network anew, remembers that, and then loads where the first one started."""
    network = tiny_classifier()
    penalty = L2SP()
    penalty.remember(network)
    moved(network)
    torch.manual_seed(99)
    rebuilt = tiny_classifier()
    moved(rebuilt)
    resumed = L2SP()
    resumed.remember(rebuilt)
    rebuilt.load_state_dict(network.state_dict())
    assert resumed.penalty(rebuilt) != penalty.penalty(network)
    resumed.load_state_dict(penalty.state_dict())
    assert torch.equal(resumed.penalty(rebuilt), penalty.penalty(network))


def test_the_start_is_a_copy_that_learns_nothing():
    network = tiny_classifier()
    penalty = L2SP()
    penalty.remember(network)
    before = {name: buffer.clone() for name, buffer in penalty.named_buffers()}
    moved(network)
    assert all(torch.equal(before[name], buffer) for name, buffer in penalty.named_buffers())
    assert not list(penalty.parameters())
