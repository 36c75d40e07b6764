"""Cross-entropy against torch's and by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from tests.strategy.tiny import tiny_classifier
from transferlab.strategy.objective.cross_entropy import CrossEntropy
from transferlab.strategy.parts import Facts

BATCH = {
    "input": torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(1)),
    "label": torch.arange(6) % 3,
}


def make(**arguments) -> CrossEntropy:
    objective = CrossEntropy(**arguments)
    objective.prepare(Facts(16, torch.tensor([2, 2, 2])))
    return objective


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_is_that_of_torch(label_smoothing):
    network = tiny_classifier().eval()
    losses = make(label_smoothing=label_smoothing).losses(network, BATCH, progress=0.5)
    logits = network(BATCH["input"])
    expected = functional.cross_entropy(logits, BATCH["label"], label_smoothing=label_smoothing)
    assert list(losses.terms) == ["class_loss"]
    torch.testing.assert_close(losses.terms["class_loss"], expected)
    assert losses.observed["accuracy"] == (logits.argmax(1) == BATCH["label"]).float().mean()


def test_label_smoothing_by_hand():
    """Probability 1 - s + s/C on the label and s/C elsewhere, Szegedy et al. section 7."""

    class Fixed(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[2.0, 0.0]])

    batch = {"input": torch.zeros(1, 3, 1, 1), "label": torch.tensor([0])}
    loss = make(label_smoothing=0.2).losses(Fixed(), batch, 0.0).terms["class_loss"]  # type: ignore[arg-type]
    log_sum = math.log(math.exp(2) + 1)
    assert loss.item() == pytest.approx(0.9 * (log_sum - 2) + 0.1 * log_sum)


def test_fp32_under_autocast():
    network = tiny_classifier()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert network(BATCH["input"]).dtype == torch.bfloat16
        assert make().losses(network, BATCH, 0.0).terms["class_loss"].dtype == torch.float32


def test_every_parameter_gets_a_gradient():
    network = tiny_classifier().train()
    make().losses(network, BATCH, 0.0).terms["class_loss"].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
