"""Methods, their hyperparameters, and which are chosen."""

from __future__ import annotations

from typing import Any

import pytest

from transferlab.evaluation.comparison.choosing import chosen_on_validation, methods, tasks
from transferlab.evaluation.comparison.grouping import Group


def with_settings(*settings: dict[str, Any]) -> list[Group]:
    return [Group(str(each), each, (), 0, (), (), ()) for each in settings]


@pytest.mark.parametrize(
    ("name", "values", "same_method", "same_task"),
    [
        ("strategy.learning_rates.base", (0.1, 0.01), True, True),
        ("fit.ema_decay", (None, 0.99), True, True),
        ("data.batch_size", (32, 64), True, True),
        ("strategy", ("dann", "fine_tune"), False, True),
        ("strategy.head", ("heads.Linear", "heads.MLP"), False, True),
        ("strategy.bottleneck", (True, False), False, True),
        ("data/augmentation", ("none", "light"), False, True),
        ("backbone.weights", ("hub", "random"), False, True),
        ("data", ("digits", "folder"), False, False),
        ("data/source", ("mnist", "digits"), False, False),
        ("data.target.root", ("a", "b"), False, False),
        ("data.shots_per_class", (3, 10), False, False),
        ("data.split_seed", (0, 1), False, False),
    ],
)
def test_what_makes_another_method_or_task(name, values, same_method, same_task):
    groups = with_settings(*({name: value} for value in values))
    assert (len(set(methods(groups))) == 1) == same_method
    assert (len(set(tasks(groups))) == 1) == same_task


def test_a_number_somewhere_and_a_word_elsewhere_is_no_hyperparameter():
    groups = with_settings({"weight": "auto"}, {"weight": 0.1}, {"weight": 0.2})
    assert len(set(methods(groups))) == 3


def test_best_on_validation_of_each_method():
    of_method = ["a", "b", "a", "a", "b", "c"]
    val = [0.5, 0.9, 0.7, 0.7, 0.8, None]
    assert chosen_on_validation(of_method, val) == [False, True, True, False, False, True]


def test_nothing_finished_nothing_chosen():
    assert chosen_on_validation(["a", "a"], [None, None]) == [False, False]
    assert chosen_on_validation(["a", "a"], [None, 0.0]) == [False, True]
    assert chosen_on_validation([], []) == []
