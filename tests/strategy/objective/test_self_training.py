"""Self-training: which pseudo-labels count, and a teacher that follows once a step."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from transferlab.strategy.learning_rates.schedule import LearningRates, parameter_groups
from transferlab.strategy.objective.self_training import SelfTraining, pseudo_label_loss, pseudo_labels
from transferlab.strategy.parts import Facts


def make(network, **arguments):
    objective = SelfTraining(**arguments)
    objective.prepare(Facts(network.backbone.num_features, torch.ones(3)))
    objective.remember(network)
    return objective


def test_threshold():
    p = torch.tensor([[0.95, 0.04, 0.01], [0.5, 0.3, 0.2], [0.02, 0.0, 0.98]])
    labels, sure = pseudo_labels(p.log(), threshold=0.9)
    assert labels.tolist() == [0, 0, 2]
    assert sure.tolist() == [True, False, True]
    assert pseudo_labels(p.log(), threshold=0.0)[1].all()


def test_loss_by_hand():
    """The sure ones' cross-entropies, divided by the number of all."""
    logits = torch.tensor([[2.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    found = pseudo_label_loss(logits, torch.tensor([1, 0, 1]), torch.tensor([True, False, True]))
    expected = (math.log(1 + math.exp(2)) + math.log(1 + math.exp(-1))) / 3
    assert found.item() == pytest.approx(expected)
    nothing = pseudo_label_loss(logits, torch.tensor([1, 0, 1]), torch.zeros(3, dtype=torch.bool))
    assert nothing.item() == 0


def test_the_network_learns_what_the_teacher_says(settled, batch):
    objective = make(settled, threshold=0.6, weight=2.0)
    with torch.no_grad():
        said = settled(batch["target_input"]).softmax(1)
        settled.head.weight.add_(torch.randn_like(settled.head.weight))
    sure = said.max(1).values >= 0.6
    assert 0 < sure.sum() < 10
    losses = objective.losses(settled, batch, 0.3)
    now = settled(batch["target_input"])
    expected = functional.cross_entropy(now[sure], said.argmax(1)[sure]) * sure.float().mean()
    torch.testing.assert_close(losses.terms["pseudo_label_loss"], 2 * math.tanh(1.5) * expected)
    assert losses.observed["sure_share"] == sure.float().mean()
    agreement = (now.argmax(1) == said.argmax(1)).float().mean()
    assert losses.observed["teacher_agreement"] == agreement


def test_the_teacher_follows_each_step(network):
    objective = make(network, decay=0.5)
    start = network.head.weight.detach().clone()
    average = None
    for step in (1, 2, 3):
        with torch.no_grad():
            network.head.weight.add_(1)
        objective.after_step(network, step)
        average = start + step if step == 1 else 0.5 * average + 0.5 * (start + step)
        torch.testing.assert_close(objective.teacher.get_buffer("head/weight"), average)


def test_the_teacher_is_in_no_group_of_the_optimizer(network):
    groups = parameter_groups(network, make(network), LearningRates(weight_decay=0.01))
    assert not [group for group in groups if group["name"].startswith("objective")]
