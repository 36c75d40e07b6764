"""Entropy and the weights made of it."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from transferlab.strategy.objective.certainty import certainty_weights, entropy


def test_entropy_is_that_of_scipy():
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    expected = stats.entropy(logits.softmax(1).numpy(), axis=1)
    assert entropy(logits).tolist() == pytest.approx(expected.tolist(), rel=1e-5)


def test_limits():
    sure, even = torch.tensor([[1e4, 0.0, 0.0]]), torch.zeros(1, 3)
    assert entropy(sure).item() == 0
    assert entropy(even).item() == pytest.approx(math.log(3))
    assert entropy(sure.half()).dtype == torch.float32
    found = certainty_weights(entropy(torch.cat([sure, even])))
    assert found.tolist() == pytest.approx([2.0, 1 + 1 / 3])


def test_weights_are_constants():
    logits = torch.randn(3, 4, requires_grad=True)
    assert entropy(logits).requires_grad
    assert not certainty_weights(entropy(logits)).requires_grad
