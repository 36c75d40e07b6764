"""Means of networks' weights by hand, and the norms whose statistics they cannot have."""

from __future__ import annotations

import torch
from torch import nn

from transferlab.model.averaging import WeightMean, between, norms_without_statistics


def network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    made = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2), nn.BatchNorm1d(2))
    made[:2](torch.randn(16, 3))
    made[1].num_batches_tracked.fill_(seed)
    return made


STATES = [network(seed).state_dict() for seed in range(3)]


def test_the_mean_of_each_tensor():
    mean = WeightMean(STATES[0]).plus(STATES[1]).plus(STATES[2])
    for name, value in mean.state().items():
        every = torch.stack([state[name].double() for state in STATES])
        expected = every.mean(0) if value.is_floating_point() else every[0]
        assert torch.equal(value, expected.to(value.dtype)), name
    assert mean.differing == {
        *("0.weight", "0.bias", "2.weight", "2.bias"),
        *("1.running_mean", "1.running_var", "1.num_batches_tracked"),
    }


def test_one_more_leaves_the_mean_before_it_as_it_was():
    one = WeightMean(STATES[0])
    one.plus(STATES[1])
    assert all(torch.equal(value, STATES[0][name]) for name, value in one.state().items())
    assert one.differing == frozenset()


def test_a_line_has_its_ends_and_its_middle():
    for alpha, end in ((0.0, STATES[0]), (1.0, STATES[1])):
        point = between(STATES[0], STATES[1], alpha)
        assert all(torch.equal(value, end[name]) for name, value in point.state().items())
        assert not point.differing
    quarter = between(STATES[0], STATES[1], 0.25).state()["0.weight"]
    torch.testing.assert_close(quarter, 0.75 * STATES[0]["0.weight"] + 0.25 * STATES[1]["0.weight"])


def test_norms_that_training_changed_need_statistics_of_their_own():
    made = network(0)
    differing = WeightMean(STATES[0]).plus(STATES[1]).differing
    assert norms_without_statistics(made, differing) == [made[1]]
    assert norms_without_statistics(made, frozenset({"1.weight"})) == []
