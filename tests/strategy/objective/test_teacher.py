"""The teacher: averages by hand, kept out of the optimizer, and a student that does not notice."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from transferlab.strategy.objective.teacher import Teacher, average_decay


def test_averages_by_hand():
    student = nn.Linear(1, 1, bias=False)
    values = [2.0, 4.0, 9.0, 5.0]
    nn.init.constant_(student.weight, 100.0)
    teacher = Teacher(student)
    found = []
    for step, value in enumerate(values, start=1):
        nn.init.constant_(student.weight, value)
        teacher.follow(student, average_decay(step, decay=0.6))
        found.append(teacher.weight.item())
    # means of the first two, then 0.6 of the average; the untrained start does not count
    assert found == pytest.approx([2.0, 3.0, 0.6 * 3 + 0.4 * 9, 0.6 * 5.4 + 0.4 * 5])


def test_a_start_with_the_students_weights(network, batch):
    teacher = Teacher(network)
    network.eval()
    assert torch.equal(teacher.scores(network, batch["input"]), network(batch["input"]))


def test_scores_are_those_of_the_averaged_weights(network, batch):
    teacher = Teacher(network)
    before = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    network.train()
    network(batch["input"])  # other running statistics
    teacher.follow(network, 0.75)

    expected = copy.deepcopy(network).eval()
    with torch.no_grad():
        for mean, old, new in zip(
            expected.parameters(), before.parameters(), network.parameters(), strict=True
        ):
            mean.copy_(0.75 * old + 0.25 * new)
    torch.testing.assert_close(teacher.scores(network, batch["input"]), expected(batch["input"]))


def test_the_student_is_as_before(network, batch):
    network.train()
    network.backbone.network.layer1.eval()
    modes = [module.training for module in network.modules()]
    state = copy.deepcopy(network.state_dict())
    teacher = Teacher(network)
    found = teacher.scores(network, batch["input"])
    assert not found.requires_grad
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())
    assert all(isinstance(p, nn.Parameter) and p.requires_grad for p in network.parameters())


def test_everything_is_in_the_checkpoint_and_nothing_in_the_optimizer(network):
    teacher = Teacher(network)
    assert list(teacher.parameters()) == []
    kept = teacher.state_dict()
    names = {name.replace(".", "/") for name in network.state_dict()}
    assert set(kept) == names
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    other = Teacher(network)
    other.load_state_dict(kept)
    assert all(torch.equal(kept[name], tensor) for name, tensor in other.state_dict().items())


def test_weights_that_modules_share():
    student = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    student[1].weight = student[0].weight
    teacher = Teacher(student)
    with torch.no_grad():
        student[0].weight.add_(1)
    teacher.follow(student, 0.0)
    inputs = torch.randn(2, 3)
    torch.testing.assert_close(teacher.scores(student, inputs), student(inputs))
