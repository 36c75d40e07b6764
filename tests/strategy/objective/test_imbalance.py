"""Objectives against imbalance, by hand and against torch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from transferlab.strategy.objective.cross_entropy import (
    CrossEntropy,
    balanced_weights,
    choose_weights,
    imbalance_ratio,
)
from transferlab.strategy.objective.focal import Focal, focal_loss
from transferlab.strategy.objective.logit_adjustment import LogitAdjustment, log_priors
from transferlab.strategy.parts import Facts

LOGITS = torch.tensor([[2.0, 0.5, -1.0], [0.0, 1.0, 0.0], [-0.5, 0.2, 0.9]])
LABELS = torch.tensor([0, 1, 0])


class Scores(torch.nn.Module):
    """A network whose scores are its parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = torch.nn.Parameter(LOGITS.clone())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.scores


def loss_of(objective, counts, **batch):
    objective.prepare(Facts(8, torch.tensor(counts)))
    network = Scores()
    losses = objective.losses(network, {"input": torch.zeros(3), "label": LABELS, **batch}, 0.0)
    losses.terms["class_loss"].backward()
    assert network.scores.grad.abs().sum() > 0
    return losses.terms["class_loss"].detach()


def test_balanced_weights_are_those_of_scikit_learn():
    from sklearn.utils.class_weight import compute_class_weight

    labels = [0] * 30 + [1] * 10 + [2] * 5
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert balanced_weights(torch.tensor([30, 10, 5])).tolist() == pytest.approx(expected.tolist())


def test_a_class_without_samples_weighs_nothing():
    assert balanced_weights(torch.tensor([4, 0, 4])).tolist() == [1.0, 0.0, 1.0]
    assert imbalance_ratio(torch.tensor([4, 0, 2])) == 2.0


@pytest.mark.parametrize(("counts", "weighted"), [([50, 10], False), ([51, 10], True)])
def test_auto_weights_from_five_to_one_and_says_so(counts, weighted):
    weights, notes = choose_weights("auto", torch.tensor(counts))
    assert (weights is not None) == weighted
    assert len(notes) == weighted
    if weighted:
        assert "5.1 times" in notes[0]


def test_choices_that_do_not_depend_on_the_ratio():
    assert choose_weights("none", torch.tensor([100, 1])) == (None, [])
    weights, notes = choose_weights("balanced", torch.tensor([2, 2]))
    assert weights.tolist() == [1.0, 1.0]
    assert notes == []


def test_weighted_cross_entropy():
    loss = loss_of(CrossEntropy(class_weights="balanced"), [30, 10, 5])
    weights = balanced_weights(torch.tensor([30, 10, 5]))
    assert loss == functional.cross_entropy(LOGITS, LABELS, weight=weights)


def test_cross_entropy_of_mixed_labels():
    mixed = torch.tensor([[0.7, 0.3, 0.0], [0.0, 1.0, 0.0], [0.5, 0.0, 0.5]])
    loss = loss_of(CrossEntropy(class_weights="none"), [1, 1, 1], label_probabilities=mixed)
    torch.testing.assert_close(loss, -(mixed * LOGITS.log_softmax(1)).sum(1).mean())


def test_focal_loss_by_hand():
    p = LOGITS.softmax(1)[torch.arange(3), LABELS]
    expected = -((1 - p) ** 2 * p.log()).mean()
    torch.testing.assert_close(loss_of(Focal(gamma=2.0, class_weights="none"), [1, 1, 1]), expected)


def test_focal_loss_without_focus_is_weighted_cross_entropy():
    weights = torch.tensor([0.5, 2.0, 1.0])
    one_hot = functional.one_hot(LABELS, 3).float()
    loss = focal_loss(LOGITS, one_hot, gamma=0.0, class_weights_C=weights)
    torch.testing.assert_close(loss, functional.cross_entropy(LOGITS, LABELS, weight=weights))


def test_logit_adjustment_by_hand():
    priors = [math.log(share) for share in (0.6, 0.3, 0.1)]
    assert log_priors(torch.tensor([6, 3, 1])).tolist() == pytest.approx(priors)
    loss = loss_of(LogitAdjustment(tau=2.0), [6, 3, 1])
    torch.testing.assert_close(loss, functional.cross_entropy(LOGITS + 2 * torch.tensor(priors), LABELS))
