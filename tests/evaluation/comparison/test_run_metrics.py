"""The metrics of a run, and those of folds together."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.comparison.run_folders import make_run, predicted, right
from transferlab.evaluation.comparison.run_metrics import (
    RUN_METRICS,
    leading_metric,
    metrics_of,
    metrics_of_folds,
)
from transferlab.evaluation.metrics import classification_metrics
from transferlab.sweep.gather import gather


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
