"""The gradient reversal layer and its factor lambda."""

from __future__ import annotations

import math

import pytest
import torch

from transferlab.strategy.objective.gradient_reversal import reversal_factor, reverse_gradient


@pytest.mark.parametrize("factor", [0.0, 0.3, 1.0, 2.5])
def test_identity_forwards_minus_lambda_backwards(factor):
    inputs = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    outputs = reverse_gradient(inputs, factor)
    assert torch.equal(outputs, inputs)
    gradient = torch.randn(4, 5, dtype=torch.float64)
    outputs.backward(gradient)
    assert torch.equal(inputs.grad, -factor * gradient)


@pytest.mark.parametrize(
    ("progress", "arguments", "expected"),
    [
        (0.0, {}, 0.0),
        (0.1, {}, math.tanh(0.5)),  # 2 / (1 + exp(-x)) - 1 = tanh(x / 2)
        (0.5, {}, math.tanh(2.5)),
        (1.0, {}, math.tanh(5.0)),
        (0.5, {"weight": 0.2}, 0.2 * math.tanh(2.5)),
        (0.5, {"steepness": 4.0}, math.tanh(1.0)),
        (0.25, {"horizon": 0.5}, math.tanh(2.5)),
        (0.75, {"horizon": 0.5}, math.tanh(5.0)),
        (0.0, {"horizon": 0.0}, math.tanh(5.0)),
    ],
)
def test_lambda(progress, arguments, expected):
    found = reversal_factor(progress, **{"weight": 1.0, "steepness": 10.0, "horizon": 1.0, **arguments})
    assert found == pytest.approx(expected, abs=1e-12)
