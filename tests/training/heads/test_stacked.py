"""Jobs that learn in lockstep, and how many at once."""

from __future__ import annotations

import itertools

import pytest
import torch

from tests.training.heads.problem import NUM_FEATURES, built, features, job, linear, mlp
from transferlab.strategy.objective.cross_entropy import CrossEntropy
from transferlab.strategy.objective.focal import Focal
from transferlab.strategy.penalty.l1 import L1
from transferlab.training.heads import stacked as grouping
from transferlab.training.heads.stacked import lockstep_groups

FEATURES_ND = features().features_ND


class OwnObjective(CrossEntropy):
    """As a user might write one."""


def test_by_layers_and_optimizer():
    jobs = [
        job(0),
        job(1, optimizer="sgd"),
        job(2, base=1.0, weight_decay=0.5, head_dropout=0.2),
        job(3, head=mlp(3)),
        job(4, optimizer="sgd", warmup_epochs=1.0),
        job(5, head=mlp(5, 0.5)),
        job(6, optimizer="sgd", momentum=0.5),
        job(7, optimizer="lamb"),
        job(8, penalties={"l1": L1()}),
        job(9, objective=OwnObjective()),
        job(10, head_dropout=1.0),
    ]
    assert lockstep_groups(jobs, FEATURES_ND, 16) == [[0, 2], [1, 4], [3, 5], [6], [7], [8], [9], [10]]


@pytest.mark.parametrize("hook", ["before_step", "after_step", "conclude"])
def test_hooks_are_called_for_one_head_at_a_time(monkeypatch, hook):
    jobs = [job(number, objective=built(Focal())) for number in range(2)]
    assert lockstep_groups(jobs, FEATURES_ND, 16) == [[0, 1]]
    monkeypatch.setattr(Focal, hook, lambda *arguments: None)
    assert lockstep_groups(jobs, FEATURES_ND, 16) == [[0], [1]]


def test_many_of_one_seed_share_their_batches():
    jobs = [job(number % 2, head=linear(number)) for number in range(16)] + [job(2), job(3)]
    assert lockstep_groups(jobs, FEATURES_ND, 16) == [list(range(0, 16, 2)), list(range(1, 16, 2)), [16, 17]]
    dropping = [job(number % 2, head_dropout=0.1) for number in range(16)]  # then none sees the same
    assert lockstep_groups(dropping, FEATURES_ND, 16) == [list(range(16))]


def test_parts_that_fit_into_the_cache(monkeypatch):
    parameters, batch = 52, 16 * NUM_FEATURES
    monkeypatch.setattr(grouping, "_FLOATS_AT_ONCE", 4 * (5 * parameters + batch) + 1)
    groups = lockstep_groups([job(number) for number in range(10)], FEATURES_ND, 16)
    assert sorted(len(group) for group in groups) == [3, 3, 4]
    assert sorted(itertools.chain(*groups)) == list(range(10))
    monkeypatch.setattr(grouping, "_FLOATS_AT_ONCE", 1)
    assert lockstep_groups([job(0), job(1)], FEATURES_ND, 16) == [[0], [1]]


def test_dropout_on_another_device():
    meta = torch.empty(FEATURES_ND.shape, device="meta")
    assert lockstep_groups([job(0, head_dropout=0.1), job(1, head_dropout=0.1)], meta, 16) == [[0], [1]]
    assert lockstep_groups([job(0), job(1)], meta, 16) == [[0, 1]]
