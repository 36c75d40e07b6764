"""Bootstrap intervals: coverage, and equality with drawing samples one by one."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from transferlab.evaluation.comparison.intervals import (
    Interval,
    interval_over_seeds,
    intervals_over_samples,
)
from transferlab.evaluation.metrics import confusion_matrix


def test_with_three_seeds_it_reaches_from_the_lowest_to_the_highest():
    # each of the two is drawn three times in 1 of 27 cases, more than 2.5 %
    interval = interval_over_seeds(np.array([0.9, 0.7, 0.8]))
    assert (interval.low, interval.high) == pytest.approx((0.7, 0.9))


@pytest.mark.parametrize("values", [[], [0.5], [0.5, 0.6]])
def test_none_for_too_few_seeds(values):
    assert interval_over_seeds(np.array(values)) is None


def test_equal_seeds():
    assert interval_over_seeds(np.full(5, 0.3)) == Interval(0.3, 0.3)


@pytest.mark.parametrize(("num_seeds", "least", "most"), [(5, 0.75, 0.92), (20, 0.88, 0.99)])
def test_coverage_over_seeds(num_seeds, least, most):
    generator = np.random.default_rng(0)
    found = [interval_over_seeds(generator.normal(size=num_seeds)) for _ in range(150)]
    assert least < np.mean([interval.low <= 0 <= interval.high for interval in found]) < most


def test_coverage_over_samples():
    generator = np.random.default_rng(0)
    true_cells = np.array([0.5, 0.1, 0.1, 0.3])
    held = []
    for _ in range(150):
        confusion = generator.multinomial(200, true_cells).reshape(2, 2)
        interval = intervals_over_samples(confusion)["accuracy"]
        held.append(interval.low <= 0.8 <= interval.high)
    assert 0.89 < np.mean(held) < 0.99


def test_equal_to_drawing_samples_one_by_one():
    generator = np.random.default_rng(1)
    labels_N = generator.integers(0, 4, 80)
    labels_N[labels_N == 3] = 2
    guesses_N = np.where(generator.random(80) < 0.6, labels_N, generator.integers(0, 4, 80))
    found = intervals_over_samples(confusion_matrix(np.eye(5)[guesses_N], labels_N))
    rows = [generator.integers(0, 80, 80) for _ in range(1000)]
    metrics = {
        "accuracy": lambda true, guessed: np.mean(true == guessed),
        # only classes that are predicted but do not occur bring scikit-learn to warn
        "balanced_accuracy": lambda true, guessed: np.mean(
            [np.mean(guessed[true == label] == label) for label in np.unique(true)]
        ),
        "macro_f1": lambda true, guessed: f1_score(true, guessed, average="macro"),
    }
    for name, metric in metrics.items():
        drawn = [metric(labels_N[row], guesses_N[row]) for row in rows]
        expected = Interval(*np.quantile(drawn, [0.025, 0.975]))
        assert found[name].low == pytest.approx(expected.low, abs=0.015), name
        assert found[name].high == pytest.approx(expected.high, abs=0.015), name
    seen = labels_N[guesses_N != 3], guesses_N[guesses_N != 3]
    assert metrics["balanced_accuracy"](*seen) == pytest.approx(balanced_accuracy_score(*seen))


def test_one_sample():
    found = intervals_over_samples(np.array([[0, 0], [1, 0]]))
    assert found == {name: Interval(0.0, 0.0) for name in ("accuracy", "balanced_accuracy", "macro_f1")}


def test_many_classes_are_drawn_in_parts():
    confusion = np.ones((60, 60), dtype=np.int64) + 300 * np.eye(60, dtype=np.int64)
    interval = intervals_over_samples(confusion)["accuracy"]
    share, spread = 301 / 360, np.sqrt(301 * 59) / 360 / np.sqrt(60 * 360)
    assert interval.low == pytest.approx(share - 1.96 * spread, abs=spread / 5)
    assert interval.high == pytest.approx(share + 1.96 * spread, abs=spread / 5)
