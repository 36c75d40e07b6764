"""Entropy and mutual information against scipy and at their limits."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy.stats import entropy

from transferlab.evaluation.selection import scores as module
from transferlab.evaluation.selection.scores import (
    mean_entropy,
    mutual_information,
    soft_neighbourhood_density,
)


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


def by_definition(probabilities: np.ndarray, temperature: float) -> float:
    directions = probabilities / np.linalg.norm(probabilities, axis=1, keepdims=True)
    entropies = []
    for i, one in enumerate(directions):
        others = [np.exp(one @ other / temperature) for j, other in enumerate(directions) if j != i]
        weights = np.array(others) / sum(others)
        entropies.append(-(weights * np.log(weights)).sum())
    return float(np.mean(entropies))


def test_three_samples_by_hand():
    """Two alike and one at a right angle, temperature 1: weights e : 1 for two, 1 : 1 for the third."""
    probabilities = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    p = np.e / (np.e + 1)
    expected = (2 * -(p * np.log(p) + (1 - p) * np.log(1 - p)) + np.log(2)) / 3
    assert soft_neighbourhood_density(probabilities, temperature=1.0) == pytest.approx(expected)


@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_is_its_definition_over_several_chunks(monkeypatch, temperature):
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 8)
    probabilities = np.random.default_rng(0).dirichlet(np.ones(5), size=21)
    found = soft_neighbourhood_density(probabilities, temperature=temperature)
    assert found == pytest.approx(by_definition(probabilities, temperature), rel=1e-10)
    assert soft_neighbourhood_density(probabilities[:2]) == pytest.approx(0.0)


def test_clustered_predictions_are_denser_than_scattered_ones():
    """Four tight clusters of 25: each sample has 24 neighbours, log 24; scattered samples have fewer."""
    clustered = np.eye(4)[np.arange(100) % 4] * 0.97 + 0.0075
    scattered = np.random.default_rng(0).dirichlet(np.ones(4), size=100)
    assert soft_neighbourhood_density(clustered) == pytest.approx(np.log(24), abs=1e-3)
    assert soft_neighbourhood_density(scattered) < soft_neighbourhood_density(clustered)


def test_all_alike_is_the_upper_limit():
    """The known blind spot: a collapsed model scores best."""
    assert soft_neighbourhood_density(np.full((30, 3), 1 / 3)) == pytest.approx(np.log(29))


def test_a_tiny_temperature_stays_finite():
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), size=10)
    assert 0.0 <= soft_neighbourhood_density(probabilities, temperature=1e-5) < 1e-3


def test_memory_grows_with_samples_and_not_with_their_square():
    probabilities = np.random.default_rng(0).dirichlet(np.ones(10), size=12_000).astype(np.float32)
    tracemalloc.start()
    assert 0.0 < soft_neighbourhood_density(probabilities, most_samples=12_000) < np.log(11_999)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12_000**2 * 8 / 4  # the whole matrix would take 1.15 GB


def test_of_very_many_samples_every_so_many_th_is_taken():
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), size=11)
    every_third = soft_neighbourhood_density(probabilities[::3])
    assert soft_neighbourhood_density(probabilities, most_samples=5) == every_third
    assert soft_neighbourhood_density(probabilities, most_samples=11) != every_third


def test_one_sample_has_no_neighbours():
    with pytest.raises(ValueError, match="at least 2"):
        soft_neighbourhood_density(np.ones((1, 3)) / 3)
