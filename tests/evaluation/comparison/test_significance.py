"""The paired bootstrap against drawing sample by sample, scipy and the chance of false findings."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from transferlab.evaluation.comparison.significance import (
    PairedDifference,
    holm,
    paired_bootstrap,
    seeds_needed,
    signed_rank,
)
from transferlab.evaluation.metrics import classification_metrics

ONE_STRATUM = np.zeros(300, dtype=np.int64)


@pytest.fixture
def differences_N():
    """Of 300 samples, with three seeds each."""
    generator = np.random.default_rng(0)
    first, second = (generator.binomial(3, share, 300) / 3 for share in (0.83, 0.76))
    return first - second


def test_identical_methods_do_not_differ():
    found = paired_bootstrap(np.zeros(300), ONE_STRATUM)
    assert found == PairedDifference(0.0, 1.0)


def test_equal_to_drawing_samples_one_by_one(differences_N):
    found = paired_bootstrap(differences_N, ONE_STRATUM)
    assert found.difference == pytest.approx(differences_N.mean())
    generator = np.random.default_rng(1)
    drawn = differences_N[generator.integers(0, 300, (9999, 300))].mean(1)
    expected = np.mean(np.abs(drawn - differences_N.mean()) >= abs(differences_N.mean()))
    assert 0.005 < expected < 0.5
    assert found.p_value == pytest.approx(expected, abs=0.015)


def test_p_value_as_of_the_normal_distribution(differences_N):
    z = differences_N.mean() / stats.sem(differences_N, ddof=0)
    found = paired_bootstrap(differences_N, ONE_STRATUM)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(z)), abs=0.02)


def test_symmetric_up_to_the_draws(differences_N):
    there, back = (paired_bootstrap(sign * differences_N, ONE_STRATUM) for sign in (1, -1))
    assert there.difference == pytest.approx(-back.difference)
    assert there.p_value == pytest.approx(back.p_value, abs=0.015)


def test_a_sure_difference():
    found = paired_bootstrap(np.ones(20), np.zeros(20, dtype=np.int64))
    assert (found.difference, found.p_value) == (1.0, 1 / 10_000)


def test_strata_give_the_difference_of_balanced_accuracies():
    generator = np.random.default_rng(3)
    labels_N = (np.arange(200) >= 180).astype(np.int64)
    hits = [generator.random(200) < share for share in (0.9, 0.6)]
    metrics = [
        classification_metrics(np.eye(2)[np.where(hit, labels_N, 1 - labels_N)], labels_N) for hit in hits
    ]
    found = paired_bootstrap(hits[0].astype(float) - hits[1], labels_N)
    expected = metrics[0]["balanced_accuracy"] - metrics[1]["balanced_accuracy"]
    assert found.difference == pytest.approx(expected)


def test_false_findings_in_groups_are_as_rare_as_promised():
    generator, found, ignoring = np.random.default_rng(5), [], []
    groups_N = np.repeat(np.arange(15), 10)
    for _ in range(200):
        apart_N = np.repeat(generator.integers(-1, 2, 15), 10) * (generator.random(150) < 0.5)
        strata_N = np.zeros(150, dtype=np.int64)
        found.append(paired_bootstrap(apart_N, strata_N, groups_N).p_value)
        ignoring.append(paired_bootstrap(apart_N, strata_N).p_value)
    assert 0.02 < np.mean(np.array(found) < 0.05) < 0.09
    assert np.mean(np.array(ignoring) < 0.05) > 0.2


def test_a_single_group_shows_nothing():
    assert paired_bootstrap(np.ones(20), np.zeros(20, int), np.zeros(20, int)).p_value == 1.0


def test_false_findings_are_as_rare_as_promised():
    generator = np.random.default_rng(4)
    p_values = []
    for _ in range(300):
        first, second = generator.random((2, 150)) < 0.8
        p_values.append(paired_bootstrap(first.astype(float) - second, np.zeros(150, dtype=np.int64)).p_value)
    assert 0.02 < np.mean(np.array(p_values) < 0.05) < 0.09


@pytest.mark.parametrize("num_seeds", [6, 9, 13])
def test_as_scipy_without_ties(num_seeds):
    differences_S = np.random.default_rng(num_seeds).normal(0.5, size=num_seeds)
    expected = stats.wilcoxon(differences_S, method="exact").pvalue
    assert signed_rank(differences_S).p_value == pytest.approx(expected)


def test_with_many_seeds_close_to_scipy():
    differences_S = np.random.default_rng(0).normal(0.4, size=20)
    expected = stats.wilcoxon(differences_S, method="exact").pvalue
    assert signed_rank(differences_S).p_value == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    "differences",
    [[0.1, 0.1, 0.1, -0.1, 0.2, 0.3], [0, 0, 0.1, 0.2, 0.2, 0.3, -0.1], [0.5] * 6, [0, 0, 0, 0, 0, 1]],
)
def test_all_signs_with_ties_and_zeros(differences):
    differences_S = np.array(differences, dtype=float)
    ranks_S = stats.rankdata(np.abs(differences_S)) * (differences_S != 0)
    observed = (np.sign(differences_S) * ranks_S).sum()
    all_signs = [(np.array(signs) * ranks_S).sum() for signs in product((-1, 1), repeat=len(ranks_S))]
    tails = np.mean(np.array(all_signs) >= observed), np.mean(np.array(all_signs) <= observed)
    found = signed_rank(differences_S)
    assert found.p_value == pytest.approx(min(1.0, 2 * min(tails)))
    assert found.rank_sum == observed


def test_differences_that_only_rounding_tells_apart_are_ties():
    differences_S = np.array([0.8 - 0.7, 0.9 - 0.8, 0.4 - 0.3, 0.3 - 0.4, 0.6 - 0.5, 0.7 - 0.6])
    assert len(np.unique(np.abs(differences_S))) > 1
    assert signed_rank(differences_S).p_value == pytest.approx(14 / 64)


def test_no_difference_at_all():
    assert signed_rank(np.zeros(8)).p_value == 1.0


def test_how_many_seeds_are_needed():
    for num_comparisons in (1, 3, 10):
        enough = seeds_needed(num_comparisons)
        assert num_comparisons * signed_rank(np.arange(1.0, enough + 1)).p_value < 0.05
        assert num_comparisons * signed_rank(np.arange(1.0, enough)).p_value >= 0.05
    assert [seeds_needed(count) for count in (1, 3, 10)] == [6, 7, 9]


@pytest.mark.parametrize(
    ("p_values", "corrected"),
    [
        # 4 x 0.005, 3 x 0.01, 2 x 0.03, and 1 x 0.04, which may not be below the one before
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.2], [0.2]),
        ([0.6, 0.5], [1.0, 1.0]),
        ([0.02, 0.02, 0.02], [0.06, 0.06, 0.06]),
        ([], []),
    ],
)
def test_by_hand(p_values, corrected):
    np.testing.assert_allclose(holm(np.array(p_values)), corrected)


def test_at_most_one_family_in_twenty_has_a_false_finding():
    generator = np.random.default_rng(0)
    false = [holm(generator.uniform(size=6)).min() < 0.05 for _ in range(2000)]
    assert 0.03 < np.mean(false) < 0.065
