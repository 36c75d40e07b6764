"""Holm's correction against hand calculations."""

from __future__ import annotations

import numpy as np
import pytest

from transferlab.evaluation.comparison.holm import holm


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
