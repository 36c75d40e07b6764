"""How far two runs are apart, from folders written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transferlab.analysis.reproduction import (
    Value,
    environment_apart,
    predictions_apart,
    values_apart,
    verdict_of,
)
from transferlab.evaluation.comparison.intervals import Interval
from transferlab.evaluation.metrics import classification_metrics
from transferlab.evaluation.predictions import Predictions
from transferlab.run.run_folder import Run

LABELS_N = np.arange(40) % 2


def right(num: int, *, sure: float = 0.9) -> np.ndarray:
    """Probabilities of two classes for 40 samples of which the first `num` are predicted rightly."""
    hit_N = np.arange(40) < num
    of_truth_N = np.where(hit_N, sure, 1 - sure)
    return np.where(np.eye(2, dtype=bool)[LABELS_N], of_truth_N[:, None], 1 - of_truth_N[:, None])


def run(name: str, probabilities_NC: np.ndarray, *, samples: int = 40, **environment: Any) -> Run:
    made = Run(name)
    table = Predictions(
        [f"{n}.png" for n in range(samples)], LABELS_N[:samples], probabilities_NC[:samples], ("a", "b")
    )
    table.write(Path(name) / "predictions" / "test.csv")
    made.write_json(
        "result.json",
        {
            "status": "finished",
            "seed": 3,
            "test": classification_metrics(probabilities_NC, LABELS_N),
            "selection": {"rule": "val_loss", "epoch": 4},
            "cost": {"fit_seconds": float(hash(name) % 7)},
        },
    )
    made.write_json("environment.json", {"folder": name, "command": name, **environment})
    return made


def compared(one: Run, other: Run) -> tuple[dict[str, str], str]:
    values = values_apart(one, other)
    verdict = verdict_of(values, predictions_apart(one, other))
    return {value.name: value.verdict for value in values}, verdict


def test_identical():
    values, verdict = compared(run("one", right(30)), run("other", right(30)))
    assert verdict == "identical"
    assert values.pop("cost.fit_seconds") == "not compared"
    assert set(values.values()) == {"identical"}
    assert {"test.accuracy", "test.auroc", "selection.epoch"} <= set(values)
    assert not {"seed", "status", "selection.rule"} & set(values)


def test_within_the_interval():
    values, verdict = compared(run("one", right(30)), run("other", right(32)))
    assert verdict == "within the interval"
    assert values["test.accuracy"] == "within the interval"  # 0.75, of 40: from about 0.61 to 0.88
    assert values["test.loss"] == "differs, has no interval"
    assert values["selection.epoch"] == "identical"


def test_beyond_it():
    values, verdict = compared(run("one", right(30)), run("other", right(5)))
    assert (values["test.accuracy"], verdict) == ("differs", "differs")


def test_without_the_recorded_predictions_no_difference_is_within_an_interval():
    one, other = run("one", right(30)), run("other", right(5))
    Path("one/predictions/test.csv").unlink()
    values, verdict = compared(one, other)
    assert values["test.accuracy"] == verdict == "differs, has no interval"
    assert compared(one, run("other", right(30)))[1] == "identical"
    # these never have one, so that they decide nothing
    other.write_json("result.json", {**other.result, "selection": {"epoch": 5}})
    assert compared(one, other)[1] == "within the interval"


def test_the_same_figures_of_other_predictions_are_not_identical():
    one, other = run("one", right(30)), run("other", right(30))
    file = Path("other/predictions/test.csv")
    Predictions([f"{n}.png" for n in range(40)], LABELS_N, right(30, sure=0.8), ("a", "b")).write(file)
    assert compared(one, other)[1] == "within the interval"
    (part,) = predictions_apart(one, other)
    assert (part.split, part.num_samples, part.num_others, part.num_changed) == ("test", 40, 0, 0)
    assert part.largest == pytest.approx(0.1)


def test_predictions_are_matched_by_the_names_of_samples():
    (part,) = predictions_apart(run("one", right(30)), run("other", right(28), samples=35))
    assert (part.num_samples, part.num_others, part.num_changed) == (35, 5, 2)


def test_a_figure_that_one_of_them_lacks():
    value = Value("test.accuracy", 0.5, None, Interval(0.4, 0.6))
    assert (value.difference, value.verdict) == (None, "differs")
    assert Value("test.auroc", None, None).verdict == "identical"
    assert Value("test.accuracy", 0.5, 0.75).difference == 0.25


def test_environment():
    one = run("one", right(30), packages={"torch": "2.5"}, threads=2, gpus=[])
    other = run("other", right(30), packages={"torch": "2.6"}, threads=2, gpus=[], git_commit="abc")
    assert environment_apart(one, other) == {"packages.torch": ("2.5", "2.6"), "git_commit": (None, "abc")}
    assert environment_apart(one, one) == {}
