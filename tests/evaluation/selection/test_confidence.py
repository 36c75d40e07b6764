"""Entropy and mutual information against scipy and at their limits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import entropy

from transferlab.evaluation.selection.confidence import mean_entropy, mutual_information


def test_by_hand():
    probabilities = np.array([[0.5, 0.5], [1.0, 0.0]])
    assert mean_entropy(probabilities) == pytest.approx(np.log(2) / 2)
    of_mean = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert mutual_information(probabilities) == pytest.approx(of_mean - np.log(2) / 2)


def test_against_scipy():
    probabilities = np.random.default_rng(0).dirichlet(np.full(7, 0.3), size=50).astype(np.float32)
    expected = entropy(probabilities.astype(np.float64), axis=1).mean()
    assert mean_entropy(probabilities) == pytest.approx(expected, rel=1e-6)
    of_mean = entropy(probabilities.astype(np.float64).mean(0))
    assert mutual_information(probabilities) == pytest.approx(of_mean - expected, rel=1e-5)


@pytest.mark.parametrize(
    ("probabilities", "entropy_of", "information"),
    [
        (np.eye(4), 0.0, np.log(4)),  # sure and varied: the best
        (np.eye(4)[[1, 1, 1]], 0.0, 0.0),  # collapsed: the entropy does not see it
        (np.full((5, 4), 0.25), np.log(4), 0.0),  # knows nothing
    ],
)
def test_limits(probabilities, entropy_of, information):
    assert mean_entropy(probabilities) == pytest.approx(entropy_of, abs=1e-12)
    assert mutual_information(probabilities) == pytest.approx(information, abs=1e-12)
