"""Runs by what differs, seeds and folds within."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.comparison.run_folders import make_run, predicted, right
from transferlab.evaluation.comparison.grouping import (
    RUN_METRICS,
    Group,
    groups_of,
    leading_metric,
    metrics_of,
    metrics_of_folds,
    seeds_as_text,
)
from transferlab.evaluation.metrics import classification_metrics
from transferlab.sweep.sweep_record import gather


def grouped() -> list[Group]:
    return groups_of(gather([Path("sweep")]))


def test_seeds_of_equal_settings():
    for strategy in ("fine_tune", "dann"):
        for seed in (10, 2, 1):
            make_run(f"{strategy}{seed}", 0.5, seed=seed, strategy=strategy)
    dann, fine_tune = grouped()
    assert (dann.name, fine_tune.name) == ("strategy=dann", "strategy=fine_tune")
    assert dann.settings == {"strategy": "dann"}
    assert [repetition.seed for repetition in dann.repetitions] == [(1,), (2,), (10,)]
    assert [run.path.name for run in dann.repetitions[0].runs] == ["dann1"]
    assert (dann.missing, dann.unfinished, dann.num_finished) == ((), (), 3)


def test_unfinished_missing_and_repeated():
    make_run("a", 0.5, seed=0)
    make_run("b", None, seed=1, status="failed")
    make_run("c", None, seed=2, status="running")
    make_run("d", 0.6, seed=0)
    make_run("e", 0.5, seed=0, strategy="dann")
    make_run("f", 0.5, seed=1, strategy="dann")
    fine_tune, dann = grouped()
    assert [run.path.name for run in fine_tune.unfinished] == ["b", "c"]
    assert [run.path.name for run in fine_tune.repeated] == ["d"]
    assert fine_tune.missing == ((1,), (2,))
    assert fine_tune.num_finished == 1
    assert dann.missing == ((2,),)


def test_folds_are_parts_of_a_seed():
    for seed in (0, 1):
        for fold in (0, 1, 2):
            status = "failed" if (seed, fold) == (1, 2) else "finished"
            make_run(f"{seed}{fold}", 0.5, seed=seed, settings={"data.fold": fold}, status=status)
    (group,) = grouped()
    (repetition,) = group.repetitions
    assert repetition.seed == (0,)
    assert [run.path.name for run in repetition.runs] == ["00", "01", "02"]
    assert group.missing == ((1,),)
    assert group.num_finished == 5


def test_a_seed_that_chooses_images():
    shots = {"data.shots_per_class": 3}
    make_run("a", 0.5, seed=0, settings={**shots, "data.shots_seed": 0})
    make_run("b", 0.5, seed=0, settings={**shots, "data.shots_seed": 1})
    (group,) = grouped()
    assert [repetition.seed for repetition in group.repetitions] == [(0,), (0, 1)]
    assert seeds_as_text([(0,), (0, 1)]) == "0 0/1"


def test_a_group_without_differences_has_a_name():
    make_run("a", 0.5)
    assert grouped()[0].name == "all runs"
    make_run("b", 0.5, seed=1, settings={"name": "mine"})
    assert [group.name for group in groups_of(gather([Path("sweep/b")]))] == ["mine"]


def test_a_number_is_the_same_however_it_is_written():
    make_run("a", 0.5, seed=0, settings={"strategy.rate": 1})
    make_run("b", 0.5, seed=1, settings={"strategy.rate": 1.0})
    assert len(grouped()) == 1


def test_finite_figures_by_their_names():
    result = {
        "val": {"accuracy": 0.5, "auroc": None, "samples": 10},
        "test": {"accuracy": 0.25, "macro_f1": 0.2, "loss": math.nan},
        "source_test": {"accuracy": 0.75},
    }
    found = metrics_of(result)
    assert found == {
        "val accuracy": 0.5,
        "test accuracy": 0.25,
        "test macro F1": 0.2,
        "source test accuracy": 0.75,
    }
    assert set(found) <= set(RUN_METRICS)
    assert metrics_of({}) == metrics_of({"test": None, "selection": None}) == {}


def test_last_selected_and_oracle():
    by_rule = {"last": {"epoch": 4, "accuracy": 0.5}, "oracle": {"epoch": 2, "accuracy": 0.7}}
    by_rule["snd"] = {"epoch": 3, "accuracy": 0.6}
    found = metrics_of({"selection": {"rule": "snd", "target": by_rule}})
    assert found == {"last accuracy": 0.5, "selected accuracy": 0.6, "oracle accuracy": 0.7}
    found = metrics_of({"selection": {"rule": "last", "target": by_rule}})
    assert found["selected accuracy"] == found["last accuracy"] == 0.5
    assert metrics_of({"selection": {"rule": "val_loss", "epoch": 3}}) == {}


def test_test_predictions_of_folds_are_pooled():
    hits = [right(0.9, num_samples=10), right(0.5, num_samples=40)]
    for fold, hit in enumerate(hits):
        make_run(f"{fold}", hit, val=0.6 + 0.1 * fold, settings={"data.fold": fold})
    found = metrics_of_folds(gather([Path("sweep")]))
    assert found["test accuracy"] == pytest.approx((9 + 20) / 50)
    assert found["val accuracy"] == pytest.approx(0.65)
    parts = [predicted(hit) for hit in hits]
    expected = classification_metrics(
        np.concatenate([part.probabilities_NC for part in parts]),
        np.concatenate([part.labels_N for part in parts]),
    )
    assert found["test AUROC"] == pytest.approx(expected["auroc"])
    assert found["test balanced accuracy"] == pytest.approx(expected["balanced_accuracy"])


def test_folds_without_test_predictions_have_no_test_figures():
    for fold in range(2):
        run = make_run(f"{fold}", 0.5, val=0.5, settings={"data.fold": fold})
    (run.path / "predictions" / "test.csv").unlink()
    assert metrics_of_folds(gather([Path("sweep")])) == {"val accuracy": 0.5}


def test_leading_metric():
    balanced, plain = {"metrics": ["balanced_accuracy", "accuracy"]}, {"metrics": ["accuracy"]}
    assert leading_metric([balanced, balanced]) == "balanced_accuracy"
    assert leading_metric([balanced, plain]) == leading_metric([{}]) == leading_metric([]) == "accuracy"
