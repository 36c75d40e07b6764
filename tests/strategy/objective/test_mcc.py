"""Class confusion: its limits, and a calculation step by step."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from transferlab.strategy.objective.mcc import MCC, class_confusion


def test_sure_predictions_confuse_nothing():
    logits = 1e4 * torch.eye(4)[[0, 1, 2, 3, 3, 1]]
    assert class_confusion(logits, temperature=2.5).item() == pytest.approx(0, abs=1e-6)


def test_a_class_that_is_never_predicted_is_not_confused():
    logits = (1e4 * torch.eye(4)[[0, 1, 1]]).requires_grad_()
    found = class_confusion(logits, temperature=2.5)
    assert found.item() == pytest.approx(0, abs=1e-6)
    found.backward()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("num_classes", [2, 5, 100])
def test_even_predictions_confuse_as_much_as_possible(num_classes):
    found = class_confusion(torch.zeros(7, num_classes), temperature=2.5)
    assert found.item() == pytest.approx(1 - 1 / num_classes)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_step_by_step(temperature):
    logits = np.random.default_rng(0).normal(size=(5, 3)) * 3
    scaled = np.exp(logits / temperature)
    p = scaled / scaled.sum(1, keepdims=True)
    weights = 1 + np.exp((p * np.log(p)).sum(1))
    weights = 5 * weights / weights.sum()
    correlation = np.zeros((3, 3))
    for sample, weight in zip(p, weights, strict=True):
        correlation += weight * np.outer(sample, sample)
    rows = correlation / correlation.sum(1, keepdims=True)
    expected = (rows.sum() - np.trace(rows)) / 3
    found = class_confusion(torch.tensor(logits), temperature=temperature)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_loss_is_lambda_times_the_confusion_of_the_target(network, batch):
    network.eval()
    losses = MCC(weight=2.0).losses(network, batch, 0.3)
    expected = class_confusion(network(batch["target_input"]), temperature=2.5)
    torch.testing.assert_close(losses.observed["class_confusion"], expected)
    torch.testing.assert_close(losses.terms["confusion_loss"], 2 * math.tanh(1.5) * expected)
    assert 0 < expected < 2 / 3


def test_the_head_learns_from_the_target(network, batch):
    loss = MCC().losses(network, batch, 0.3).terms["confusion_loss"]
    gradients = torch.autograd.grad(loss, list(network.head.parameters()))
    assert all(gradient.abs().sum() > 0 for gradient in gradients)
