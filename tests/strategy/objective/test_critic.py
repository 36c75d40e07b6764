"""The critic's loss and metrics, by hand, and the gradient reversal before it."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from transferlab.strategy.objective.critic import (
    behind_reversal,
    critic_metrics,
    domain_loss,
    make_critic,
    reverse_gradient,
)


def test_each_domain_weighs_one_half():
    """Source logits 0 and 2, target logits -1, 1 and 3: softplus by hand, averaged within each domain."""
    source = (math.log(2) + math.log(1 + math.exp(-2))) / 2
    target = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(1)) + math.log(1 + math.exp(3))) / 3
    found = domain_loss(torch.tensor([0.0, 2.0]), torch.tensor([-1.0, 1.0, 3.0]))
    assert found.item() == pytest.approx((source + target) / 2, rel=1e-6)
    labels = torch.tensor([1.0] * 3 + [0.0] * 3)
    scores = torch.randn(6)
    torch.testing.assert_close(  # of equal sizes: the ordinary mean
        domain_loss(scores[:3], scores[3:]), functional.binary_cross_entropy_with_logits(scores, labels)
    )


def test_weights_of_samples():
    """A weight of 3 is as good as three copies; the scale of a domain's weights does not matter."""
    source, target = torch.tensor([0.5, -1.0]), torch.tensor([2.0, 0.1, -0.3])
    found = domain_loss(source, target, torch.tensor([6.0, 2.0]), torch.tensor([0.1, 0.1, 0.2]))
    copies = domain_loss(source[[0, 0, 0, 1]], target[[0, 1, 2, 2]])
    torch.testing.assert_close(found, copies)


def test_extreme_scores_stay_finite_in_half_precision():
    scores = torch.tensor([-1000.0, 1000.0], dtype=torch.float16)
    assert domain_loss(scores[:1], scores[1:]).item() == 1000.0
    assert domain_loss(scores[:1], scores[1:]).dtype == torch.float32


def test_metrics():
    metrics = critic_metrics(torch.tensor([1.0, 2.0, -1.0, 3.0]), torch.tensor([-1.0, 0.0]))
    assert metrics["critic_accuracy_source"] == 0.75
    assert metrics["critic_accuracy_target"] == 1.0  # 0 is no reason to say source
    expected = torch.tensor([1.0, 2.0, -1.0, 3.0, -1.0, 0.0]).std(correction=0)
    torch.testing.assert_close(metrics["critic_spread"], expected)
    assert critic_metrics(torch.full((4,), 0.3), torch.full((5,), 0.3))["critic_spread"] < 1e-6


@pytest.mark.parametrize("hidden_layers", [0, 1, 3])
def test_layers(hidden_layers):
    critic = make_critic(5, 7, hidden_layers)
    widths = [
        (layer.in_features, layer.out_features) for layer in critic if isinstance(layer, torch.nn.Linear)
    ]
    assert widths == [*[(5, 7), (7, 7), (7, 7)][:hidden_layers], (7 if hidden_layers else 5, 1)]
    assert critic(torch.randn(4, 5)).shape == (4, 1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_fp32_under_autocast(dtype):
    critic = make_critic(5, 7, 1)
    inputs = torch.randn(4, 5).to(dtype)
    with torch.autocast("cpu", dtype=dtype):
        found = torch.cat(behind_reversal(critic, inputs[:1], inputs[1:], 0.5))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, critic(inputs.float()).squeeze(1))


@pytest.mark.parametrize("factor", [0.0, 0.3, 1.0, 2.5])
def test_identity_forwards_minus_lambda_backwards(factor):
    inputs = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    outputs = reverse_gradient(inputs, factor)
    assert torch.equal(outputs, inputs)
    gradient = torch.randn(4, 5, dtype=torch.float64)
    outputs.backward(gradient)
    assert torch.equal(inputs.grad, -factor * gradient)
