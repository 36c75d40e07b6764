"""The margin disparity discrepancy: limits, and a logarithm that keeps its gradient."""

from __future__ import annotations

import math

import pytest
import torch

from transferlab.strategy.objective.mdd import MDD, adversary_loss, disagreement
from transferlab.strategy.parts import Facts

SURE = 1e4 * torch.eye(3)


def make(network, **arguments):
    torch.manual_seed(1)
    objective = MDD(hidden_units=8, **arguments)
    objective.prepare(Facts(network.backbone.num_features, torch.ones(3)))
    return objective


def test_disagreement_by_hand():
    logits = torch.tensor([[2.0, 0.5, -1.0], [0.0, 1.0, 0.0]])
    p = logits.softmax(1)
    expected = -((1 - p[0, 0]).log() + (1 - p[1, 2]).log()) / 2
    torch.testing.assert_close(disagreement(logits, torch.tensor([0, 2])), expected)


def test_gradient_where_a_clamped_probability_has_none():
    """p_label is 1 in fp32: log(1 - p) would be -inf, or clamped and flat."""
    logits = torch.tensor([[100.0, 0.0]], requires_grad=True)
    assert (1 - logits.softmax(1))[0, 0] == 0
    found = disagreement(logits, torch.tensor([0]))
    assert found.item() == pytest.approx(100)
    found.backward()
    assert logits.grad.tolist() == [[1.0, -1.0]]


@pytest.mark.parametrize("margin", [1.0, 4.0])
def test_limits(margin):
    """Nothing is left for an adversary that copies the head on the source and avoids it on the target."""
    head = SURE[[0, 1, 2, 1]]
    others = SURE[[1, 2, 0, 2]]

    def loss(on_source: torch.Tensor, on_target: torch.Tensor) -> float:
        return adversary_loss(head, head, on_source, on_target, margin=margin).item()

    assert loss(head, others) == 0
    even = torch.zeros(4, 3)
    assert loss(even, others) == pytest.approx(margin * math.log(3))
    assert loss(head, even) == pytest.approx(-math.log(1 - 1 / 3))
    assert loss(others, others) == pytest.approx(margin * 1e4)


def test_equilibrium_of_the_margin():
    """On equal domains the best adversary gives the head's class the probability gamma / (1 + gamma)."""
    margin, head = 4.0, torch.tensor([[5.0, 0.0]])

    def loss(p: float) -> float:
        adversary = torch.tensor([[math.log(p / (1 - p)), 0.0]], dtype=torch.float64)
        return adversary_loss(head, head, adversary, adversary, margin=margin).item()

    best = margin / (1 + margin)
    assert loss(best) < min(loss(best - 0.01), loss(best + 0.01))


def test_parts_of_the_loss(network, batch):
    objective = make(network, margin=3.0)
    network.eval()
    losses = objective.losses(network, batch, 0.5)
    features = network.features(torch.cat([batch["input"], batch["target_input"]]))
    chosen, adversary = network.classify(features).argmax(1), objective.adversary(features)
    p = adversary.softmax(1).gather(1, chosen[:, None]).squeeze(1)
    expected = -3 * p[:6].log().mean() - (1 - p[6:]).log().mean()
    torch.testing.assert_close(losses.terms["adversary_loss"], expected)
    agree = (adversary.argmax(1) == chosen).float()
    assert losses.observed["adversary_agreement_source"] == agree[:6].mean()
    assert losses.observed["adversary_agreement_target"] == agree[6:].mean()


def test_the_head_only_chooses(network, batch):
    losses = make(network).losses(network, batch, 0.5)
    with pytest.raises(RuntimeError, match="not have been used in the graph"):
        torch.autograd.grad(losses.terms["adversary_loss"], list(network.head.parameters()))
