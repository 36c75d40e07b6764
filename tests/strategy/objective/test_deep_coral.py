"""The CORAL loss of known covariances."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from transferlab.strategy.objective.deep_coral import DeepCORAL, coral_loss, covariance

CORNERS = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]) * math.sqrt(
    3 / 4
)  # covariance: I


def test_known_covariances():
    """diag(1, 4) and diag(9, 1): ((1 - 9)^2 + (4 - 1)^2) / (4 x 2^2) = 73 / 16, wherever the means are."""
    source = CORNERS * torch.tensor([1.0, 2.0]) + torch.tensor([5.0, -3.0])
    target = CORNERS * torch.tensor([3.0, 1.0])
    torch.testing.assert_close(covariance(source), torch.diag(torch.tensor([1.0, 4.0])))
    assert coral_loss(source, target).item() == pytest.approx(73 / 16)
    assert coral_loss(source, source + 7).item() == pytest.approx(0, abs=1e-10)


def test_unequal_sizes_against_numpy():
    generator = np.random.default_rng(0)
    source, target = generator.normal(size=(7, 4)), 2 * generator.normal(size=(11, 4))
    difference = np.cov(source.T) - np.cov(target.T)
    expected = np.sum(difference**2) / (4 * 4**2)
    assert coral_loss(torch.tensor(source), torch.tensor(target)).item() == pytest.approx(expected)


def test_loss_is_lambda_times_that_of_the_features(network, batch):
    network.eval()
    losses = DeepCORAL(weight=3.0).losses(network, batch, 0.3)
    expected = coral_loss(network.features(batch["input"]), network.features(batch["target_input"]))
    torch.testing.assert_close(losses.observed["coral"], expected)
    torch.testing.assert_close(losses.terms["coral_loss"], 3 * math.tanh(1.5) * expected)
