"""A whole comparison, from folders to metrics."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.evaluation.comparison.run_folders import make_run, right
from transferlab.evaluation.comparison.answers import answers_of
from transferlab.evaluation.comparison.choosing import chosen_on_validation, methods, tasks
from transferlab.evaluation.comparison.compare import Comparison, compare
from transferlab.evaluation.comparison.damage import without_damaged
from transferlab.evaluation.comparison.grouping import Group
from transferlab.evaluation.comparison.intervals import interval_over_seeds, intervals
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
    expected = intervals(answers_of(row.group.repetitions))
    assert summary.interval == expected["accuracy"]
    assert row.metrics["test macro F1"].interval == expected["macro_f1"]
    assert row.covers == "other images and other seeds"
    assert row.metrics["val accuracy"].interval is row.metrics["test AUROC"].interval is None
    assert (row.chosen, row.has_rivals) == (True, False)


def test_a_single_seed_has_an_interval_over_test_samples():
    make_run("0", 0.8)
    (row,) = compared().rows
    assert row.covers == "other images, not other seeds"
    assert row.metrics["test macro F1"].interval == intervals(answers_of(row.group.repetitions))["macro_f1"]
    assert row.metrics["test accuracy"].std is None
    assert row.metrics["val accuracy"].interval is row.metrics["test loss"].interval is None


def test_seeds_that_do_not_vary_leave_the_images():
    for seed in range(3):
        make_run(f"{seed}", 0.8, seed=seed)
    (row,) = compared().rows
    interval = row.metrics["test accuracy"].interval
    # Clopper-Pearson of 80 of 100, not of 240 of 300, and not the single point of three equal seeds
    assert (interval.low, interval.high) == pytest.approx((0.70816, 0.87334), abs=1e-5)
    assert row.covers == "other images; seeds do not vary"


def test_seeds_with_other_test_images_have_an_interval_over_seeds():
    accuracies = np.array([0.8, 0.9, 0.85])
    for seed, accuracy in enumerate(accuracies):
        make_run(f"{seed}", float(accuracy), seed=seed, names=f"of{seed}-")
    (row,) = compared().rows
    assert row.metrics["test accuracy"].interval == interval_over_seeds(accuracies)
    assert row.covers == "other seeds, each with its own test images"


def test_groups_of_images_widen_the_interval():
    hits = np.repeat(right(0.8, num_samples=25), 4)
    make_run("0", hits)
    grouped = make_run("1", hits, strategy="dann")
    rows = ["sample,label,group,split,domain"]
    rows += [f"sample{number},a,patient{number // 4},test,source" for number in range(100)]
    (grouped.path / "split.csv").write_text("\n".join(rows))
    found = {row.group.name: row for row in compared().rows}
    widths = []
    for name in ("fine_tune", "dann"):
        interval = found[f"strategy={name}"].metrics["test accuracy"].interval
        widths.append(interval.high - interval.low)
    assert widths[1] > 1.7 * widths[0]  # twice, as all four images of a patient are alike
    assert found["strategy=dann"].covers == "other groups of images, not other seeds"


def with_target(selection: str, **settings: Any) -> dict[str, Any]:
    return {"data.target": {"root": "x"}, "strategy.selection": selection, **settings}


@pytest.mark.parametrize(
    ("rule", "scores", "best"),
    [("information_maximisation", (0.3, 1.9), 1), ("dev", (0.3, 1.9), 0), ("entropy", (0.1, 0.2), 0)],
)
def test_with_two_domains_the_runs_own_selection_chooses(rule, scores, best):
    # the source's validation accuracy and the test accuracy prefer the other one
    for weight, score in enumerate(scores):
        other = float(weight != best)
        make_run(
            f"{weight}",
            0.5 + 0.2 * other,
            val=0.9 + 0.05 * other,
            settings=with_target(rule, **{"strategy.weight": weight}),
            selection={"rule": rule, "epoch": 2, "score": score},
        )
    found = compared()
    assert [(row.group.settings["strategy.weight"], row.chosen) for row in found.rows] == [
        (best, True),
        (1 - best, False),
    ]
    assert found.rows[0].score.value == scores[best]
    assert found.criteria == (rule,)


def test_a_score_that_result_json_lacks_is_in_the_history():
    for weight, scores in enumerate([(0.1, 0.5), (0.9, 0.4)]):
        run = make_run(
            f"{weight}",
            0.5,
            settings=with_target("snd", **{"strategy.weight": weight}),
            selection={"rule": "snd", "epoch": 1},
        )
        text = "".join(f"{epoch},{score}\n" for epoch, score in enumerate(scores))
        (run.path / "history.csv").write_text(f"epoch,selection/snd\n{text}")
    assert [row.score.value for row in compared().rows] == [0.5, 0.4]


def test_the_last_epoch_is_scored_by_information_maximisation():
    for weight, score in enumerate([0.4, 0.6]):
        run = make_run(
            f"{weight}",
            0.5,
            settings=with_target("last", **{"strategy.weight": weight}),
            selection={"rule": "last", "epoch": 1},
        )
        (run.path / "selection.csv").write_text(f"epoch,information_maximisation\n0,2.0\n1,{score}\n")
    found = compared()
    assert found.criteria == ("information_maximisation of the last epoch",)
    assert [(row.score.value, row.chosen) for row in found.rows] == [(0.6, True), (0.4, False)]


def test_without_a_score_nothing_is_chosen():
    for weight in range(2):
        settings = with_target("last", **{"strategy.weight": weight})
        make_run(f"{weight}", 0.5, settings=settings, selection={"rule": "last", "epoch": 1})
    assert [row.chosen for row in compared().rows] == [False, False]


def test_a_setting_with_failed_seeds_is_not_chosen():
    for seed in range(3):
        make_run(f"a{seed}", 0.7, seed=seed, settings={"strategy.rate": 0.1})
        lucky = 0.9 if seed == 0 else None
        status = "finished" if seed == 0 else "failed"
        make_run(f"b{seed}", lucky, seed=seed, settings={"strategy.rate": 0.2}, status=status)
    lucky, complete = compared().rows
    assert lucky.group.extent == "1 of 3"
    assert (lucky.chosen, lucky.is_incomplete) == (False, True)
    assert (complete.chosen, complete.is_incomplete, complete.group.extent) == (True, False, "3")


def test_folds_that_were_never_run_are_counted():
    for fold in range(2):
        make_run(f"{fold}", 0.5, settings={"data.fold": fold, "data.num_folds": 5}, names=f"fold{fold}-")
    (row,) = compared().rows
    assert row.group.extent == "1 (2 of 5 folds)"
    assert row.metrics["test accuracy"].mean == 0.5


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
    assert (dann.metrics, dann.each, dann.covers) == ({}, (), "")
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
    expected = [False, True, True, False, False, True]
    assert chosen_on_validation(of_method, val, [3] * 6) == expected


def test_of_those_with_the_most_finished_runs():
    assert chosen_on_validation(["a", "a", "b", "b"], [0.9, 0.5, 0.8, 0.9], [1, 3, 2, 2]) == [
        False,
        True,
        False,
        True,
    ]
    assert chosen_on_validation(["a"], [0.9], [1]) == [True]


def test_nothing_finished_nothing_chosen():
    assert chosen_on_validation(["a", "a"], [None, None], [0, 0]) == [False, False]
    assert chosen_on_validation(["a", "a"], [None, 0.0], [0, 1]) == [False, True]
    assert chosen_on_validation([], [], []) == []


def test_predictions_of_another_run_are_named_and_left_out():
    """As many images, but not what result.json says of them."""
    runs = [make_run("a", 0.9), make_run("b", 0.6, strategy="other")]
    shutil.copy(runs[1].path / "predictions/test.csv", runs[0].path / "predictions/test.csv")
    one, other = without_damaged(gather([run.path for run in runs]), {})
    assert one.reason.endswith("predictions/test.csv: accuracy 0.6, result.json says 0.9")
    assert other.status == "finished"
