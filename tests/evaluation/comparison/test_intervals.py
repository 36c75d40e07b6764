"""Intervals of metrics and of differences: closed forms, coverage, groups, and what they cover."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.coverage import (
    ACCURACIES,
    KINDS,
    NUM_IMAGES,
    SPREADS,
    coverage_of_accuracy,
    coverage_of_difference,
)
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, f1_score

from transferlab.evaluation.comparison.answers import Answers
from transferlab.evaluation.comparison.intervals import (
    Interval,
    coverage_of,
    difference,
    interval_over_seeds,
    intervals,
)

LABELS = [0, 1] * 15
INDEPENDENT, DIFFICULT, AGREEING, GROUPED = KINDS


def answers_with(num_wrong: int, *, num_images: int = 30, groups: list[str] | None = None) -> Answers:
    labels_N = np.arange(num_images) % 2
    guesses_N = np.where(np.arange(num_images) < num_wrong, 1 - labels_N, labels_N)
    return Answers.of(labels_N.tolist(), [guesses_N.tolist()], groups)


@pytest.mark.parametrize("num_wrong", [0, 1, 7, 30])
def test_the_accuracy_of_one_model_is_that_of_clopper_and_pearson(num_wrong):
    expected = stats.binomtest(30 - num_wrong, 30).proportion_ci(method="exact")
    found = intervals(answers_with(num_wrong))["accuracy"]
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_no_error_is_no_certainty():
    found = intervals(answers_with(0))
    assert found["accuracy"].low == pytest.approx(0.025 ** (1 / 30))
    assert all(interval.low < 0.9 and interval.high == 1.0 for interval in found.values())


def test_images_of_a_group_count_once_where_none_is_wrong():
    found = intervals(answers_with(0, groups=[f"p{number // 3}" for number in range(30)]))["accuracy"]
    assert found.low == pytest.approx(0.025 ** (1 / 10))


def test_one_group_says_nothing_of_others():
    assert intervals(answers_with(3, groups=["p"] * 30)) == {}
    assert intervals(Answers.of([0], [[0]])) == {}


def test_the_metric_lies_within():
    generator = np.random.default_rng(1)
    labels_N = generator.integers(0, 4, 200)
    guesses_SN = np.where(generator.random((3, 200)) < 0.7, labels_N, generator.integers(0, 4, (3, 200)))
    found = intervals(Answers.of(labels_N.tolist(), guesses_SN.tolist()))
    for name, metric in (
        ("accuracy", lambda true, guessed: np.mean(true == guessed)),
        ("balanced_accuracy", balanced_accuracy_score),
        ("macro_f1", lambda true, guessed: f1_score(true, guessed, average="macro")),
    ):
        mean = np.mean([metric(labels_N, guesses_N) for guesses_N in guesses_SN])
        assert found[name].low < mean < found[name].high
        # the spread of a bootstrap over images, wider by that over seeds
        rows = generator.integers(0, 200, (400, 200))
        drawn = [np.mean([metric(labels_N[row], guesses_N[row]) for guesses_N in guesses_SN]) for row in rows]
        width = found[name].high - found[name].low
        assert 0.9 < width / (2 * 1.96 * np.std(drawn)) < 3, name


def test_what_is_covered():
    labels, same = [0, 1, 0, 1], [0, 1, 0, 0]
    other = [1, 1, 0, 0]
    for guesses, groups, expected in (
        ([same], None, "other images, not other seeds"),
        ([same, other], None, "other images, not other seeds"),
        ([same, other, same], None, "other images and other seeds"),
        ([same, same, same], None, "other images; seeds do not vary"),
        ([same, other, same], "aabb", "other groups of images and other seeds"),
    ):
        assert coverage_of(Answers.of(labels, guesses, groups)) == expected


def test_over_seeds_it_is_students():
    values_S = np.array([0.7, 0.8, 0.75, 0.77])
    found = interval_over_seeds(values_S)
    expected = stats.t.interval(0.95, 3, values_S.mean(), stats.sem(values_S))
    assert (found.low, found.high) == pytest.approx(expected)
    assert interval_over_seeds(np.array([0.5, 0.9, 0.99])).high == 1.0


@pytest.mark.parametrize("values", [[], [0.5], [0.5, 0.6], [0.3] * 5])
def test_none_for_too_few_seeds_or_equal_ones(values):
    assert interval_over_seeds(np.array(values)) is None


def test_equal_methods_differ_by_less_than_a_few_images():
    right_SN = np.ones((3, 30), dtype=bool)
    labels_N = np.array(LABELS)
    found = difference(right_SN, right_SN, labels_N, np.arange(30), balanced=False)
    assert found.low == pytest.approx(-found.high)
    assert 0.05 < found.high < 0.15
    assert difference(right_SN, right_SN, labels_N, np.zeros(30, int), balanced=False) is None


def test_of_classes_of_one_size_balanced_is_plain():
    generator = np.random.default_rng(0)
    first, second = (generator.random((3, 200)) < share for share in (0.9, 0.8))
    labels_N = np.arange(200) % 2
    plain, balanced = (
        difference(first, second, labels_N, np.arange(200), balanced=flag) for flag in (False, True)
    )
    assert isinstance(plain, Interval)
    assert balanced.low == pytest.approx(plain.low, abs=0.003)
    assert balanced.high == pytest.approx(plain.high, abs=0.003)


@pytest.mark.parametrize(
    ("num_seeds", "num_images", "accuracy", "spread", "images", "highest"),
    [
        (3, 150, 0.9, 0.03, DIFFICULT, 0.985),
        (5, 150, 0.8, 0.0, AGREEING, 0.985),
        (10, 30, 0.9, 0.03, GROUPED, 1.0),  # ten groups: few of them have an error
        (3, 30, 0.99, 0.0, INDEPENDENT, 1.0),  # an error or none
    ],
)
def test_coverage(num_seeds, num_images, accuracy, spread, images, highest):
    for coverage in (coverage_of_accuracy, coverage_of_difference):
        held = coverage(num_seeds, num_images, accuracy, spread, images, draws=400)
        assert 0.93 <= held <= highest, coverage.__name__


def lowest_and_highest(draws: int) -> tuple[float, float]:
    """Bounds of 0.93 and 0.98 that chance crosses in one of 100,000 settings."""
    low, high = (share * (1 - share) / draws for share in (0.93, 0.98))
    return 0.93 - 4.3 * low**0.5, 0.98 + 4.3 * high**0.5


@pytest.mark.slow
@pytest.mark.parametrize("images", KINDS, ids=lambda images: images.name)
@pytest.mark.parametrize("num_seeds", [3, 5, 10])
def test_coverage_of_the_whole_grid(num_seeds, images):
    """At least 93 % everywhere; at most 98 % where ten images or groups, or more, should have an error."""
    draws = 400
    lowest, highest = lowest_and_highest(draws)
    for num_images in NUM_IMAGES:
        for accuracy in ACCURACIES:
            for spread in SPREADS:
                held = coverage_of_accuracy(num_seeds, num_images, accuracy, spread, images, draws=draws)
                where = (num_images, accuracy, spread)
                assert held >= lowest, where
                groups = num_images if images.per_group is None else num_images / images.per_group[num_images]
                if num_images >= 150 and groups * (1 - accuracy) >= 10:
                    assert held <= highest, where
