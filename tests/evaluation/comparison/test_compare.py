"""A whole comparison, from folders to metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.evaluation.comparison.run_folders import make_run, right
from transferlab.evaluation.comparison.compare import (
    Comparison,
    chosen_on_validation,
    compare,
    methods,
    tasks,
)
from transferlab.evaluation.comparison.grouping import Group
from transferlab.evaluation.comparison.intervals import interval_over_seeds, intervals_over_samples
from transferlab.evaluation.comparison.pairs import confusion_of
from transferlab.run.run_folder import Run
from transferlab.sweep.gather import gather


def compared() -> Comparison:
    return compare(gather([Path("sweep")]))


def test_mean_standard_deviation_and_interval_over_seeds():
    accuracies = np.array([0.8, 0.9, 0.85])
    for seed, accuracy in enumerate(accuracies):
        make_run(f"{seed}", float(accuracy), seed=seed)
    (row,) = compared().rows
    summary = row.metrics["test accuracy"]
    assert summary.mean == pytest.approx(accuracies.mean())
    assert summary.std == pytest.approx(accuracies.std(ddof=1))
    assert summary.interval == interval_over_seeds(accuracies)
    assert row.interval_over == "seeds"
    assert row.metrics["val accuracy"].interval is not None
    assert (row.chosen, row.has_rivals) == (True, False)


def test_a_single_seed_has_an_interval_over_test_samples():
    make_run("0", 0.8)
    (row,) = compared().rows
    confusion = confusion_of(row.group.repetitions[0])
    expected = intervals_over_samples(confusion)
    assert row.interval_over == "test samples"
    assert row.metrics["test macro F1"].interval == expected["macro_f1"]
    assert row.metrics["test accuracy"].std is None
    assert row.metrics["val accuracy"].interval is row.metrics["test loss"].interval is None


def test_two_seeds_have_no_interval():
    for seed in range(2):
        make_run(f"{seed}", 0.8, seed=seed)
    (row,) = compared().rows
    assert row.interval_over == ""
    assert row.metrics["test accuracy"].std == 0.0


def test_validation_chooses_and_test_does_not():
    for rate, val, test in ((0.1, 0.7, 0.9), (0.01, 0.8, 0.6), (0.001, 0.6, 0.7)):
        make_run(f"a{rate}", test, val=val, strategy="dann", settings={"strategy.rate": rate})
    make_run("b", 0.5, val=0.9, settings={"strategy.rate": 0.1})
    found = compared()
    assert [row.group.name for row in found.rows] == [
        "strategy=fine_tune strategy.rate=0.1",
        "strategy=dann strategy.rate=0.01",
        "strategy=dann strategy.rate=0.1",
        "strategy=dann strategy.rate=0.001",
    ]
    assert [row.chosen for row in found.rows] == [True, True, False, False]
    assert [row.has_rivals for row in found.rows] == [False, True, True, True]
    (pair,) = found.pairs
    assert (pair.first, pair.second) == (found.rows[1].group.name, found.rows[0].group.name)
    assert pair.difference == pytest.approx(0.1)


def test_what_has_not_finished_does_not_enter():
    make_run("0", 0.5)
    make_run("1", None, seed=1, status="failed")
    make_run("2", None, strategy="dann", status="running")
    never = Run("sweep/3")
    never.path.mkdir()
    never.write_json("result.json", {"status": "failed", "error": "bad config"})
    found = compared()
    fine_tune, dann = found.rows
    assert fine_tune.metrics["test accuracy"].mean == 0.5
    assert [run.path.name for run in fine_tune.group.unfinished] == ["1"]
    assert (dann.metrics, dann.each, dann.interval_over) == ({}, (), "")
    assert [run.path.name for run in found.not_begun] == ["3"]
    assert found.pairs == ()


def test_a_figure_that_a_seed_lacks_is_left_out():
    make_run("0", 0.5, seed=0)
    make_run("1", None, val=0.5, seed=1)
    (row,) = compared().rows
    assert row.metrics["val accuracy"].mean == 0.5
    assert "test accuracy" not in row.metrics


def test_imbalanced_classes_are_judged_by_balanced_accuracy():
    hits = right(0.9)
    other = right(0.9, start=50)
    for name, hit in (("fine_tune", hits), ("dann", other)):
        make_run(name, hit, strategy=name, metrics=("balanced_accuracy", "accuracy"))
    found = compared()
    assert found.metric == "balanced_accuracy"
    means = [row.metrics["test balanced accuracy"].mean for row in found.rows]
    assert found.pairs[0].difference == pytest.approx(abs(means[0] - means[1]))


def test_equal_predictions_show_no_difference():
    for seed in range(7):
        for strategy in ("dann", "fine_tune"):
            make_run(f"{strategy}{seed}", right(0.8, start=seed), seed=seed, strategy=strategy)
    (pair,) = compared().pairs
    for question in (pair.over_samples, pair.over_seeds):
        assert (question.p_value, question.verdict) == (1.0, "no difference shown")


def test_nothing_at_all():
    assert compare([]) == Comparison("accuracy", (), (), ())


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
