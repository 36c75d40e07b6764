"""The gradient reversal layer."""

from __future__ import annotations

import pytest
import torch

from transferlab.strategy.objective.gradient_reversal import reverse_gradient


@pytest.mark.parametrize("factor", [0.0, 0.3, 1.0, 2.5])
def test_identity_forwards_minus_lambda_backwards(factor):
    inputs = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    outputs = reverse_gradient(inputs, factor)
    assert torch.equal(outputs, inputs)
    gradient = torch.randn(4, 5, dtype=torch.float64)
    outputs.backward(gradient)
    assert torch.equal(inputs.grad, -factor * gradient)
