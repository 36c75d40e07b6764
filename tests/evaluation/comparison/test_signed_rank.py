"""Wilcoxon's signed-rank test against scipy and against all signs, one by one."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from transferlab.evaluation.comparison.signed_rank import seeds_needed, signed_rank


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
