"""Entropy and mutual information against scipy and at their limits."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy.stats import entropy

from transferlab.evaluation.selection import scores as module
from transferlab.evaluation.selection.scores import (
    deep_embedded_validation,
    importance_weights,
    log_losses,
    mean_entropy,
    mutual_information,
    soft_neighbourhood_density,
    source_risk,
    weighted_risk,
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
    probabilities = np.random.default_rng(0).dirichlet(np.ones(10), size=8_000).astype(np.float32)
    tracemalloc.start()
    assert 0.0 < soft_neighbourhood_density(probabilities, most_samples=8_000) < np.log(7_999)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8_000**2 * 8 / 4  # the whole matrix would take 512 MB


def test_of_very_many_samples_every_so_many_th_is_taken():
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), size=11)
    every_third = soft_neighbourhood_density(probabilities[::3])
    assert soft_neighbourhood_density(probabilities, most_samples=5) == every_third
    assert soft_neighbourhood_density(probabilities, most_samples=11) != every_third


def test_one_sample_has_no_neighbours():
    with pytest.raises(ValueError, match="at least 2"):
        soft_neighbourhood_density(np.ones((1, 3)) / 3)


def normal(samples: int, features: int, *, seed: int, shift: float = 0.0) -> np.ndarray:
    points = np.random.default_rng(seed).normal(size=(samples, features))
    points[:, 0] += shift
    return points.astype(np.float32)


def test_weighted_risk_by_hand():
    """Weights 1, 2, 3 and losses 3, 0, 1: wl = 3, 0, 3, Cov = 0; then without a control variate, 2."""
    assert weighted_risk(np.array([3.0, 0.0, 1.0]), np.array([1.0, 2.0, 3.0])) == pytest.approx(2.0)


def test_weighted_risk_is_the_authors_formula():
    generator = np.random.default_rng(0)
    losses, weights = generator.exponential(size=40), generator.gamma(2.0, 0.5, size=40)
    eta = -np.cov(weights * losses, weights)[0, 1] / np.var(weights, ddof=1)
    expected = (weights * losses).mean() + eta * weights.mean() - eta
    assert weighted_risk(losses, weights) == pytest.approx(expected, rel=1e-12)


def test_a_constant_loss_is_its_own_risk():
    """The control variate takes out all that weights do to it: w c has slope c on w."""
    weights = np.random.default_rng(0).gamma(2.0, 3.0, size=50)
    assert weighted_risk(np.full(50, 0.7), weights) == pytest.approx(0.7)


def test_equal_weights_leave_the_mean():
    losses = np.array([0.1, 0.5, 0.9])
    assert weighted_risk(losses, np.ones(3)) == pytest.approx(0.5)


def test_the_control_variate_lowers_the_variance():
    """Over 300 samples of a known shift both are right on average, and DEV's varies less."""
    generator = np.random.default_rng(0)
    plain, controlled = [], []
    for _ in range(300):
        x = generator.normal(size=200)
        weights, losses = np.exp(x - 0.5), 1.0 + 0.2 * x  # target N(1, 1): its risk is 1.2
        plain.append((weights * losses).mean())
        controlled.append(weighted_risk(losses, weights))
    assert np.mean(plain) == pytest.approx(1.2, abs=0.03)
    assert np.mean(controlled) == pytest.approx(1.2, abs=0.03)
    assert np.var(controlled) < np.var(plain) / 4


def test_weights_of_two_gaussians():
    """N(0, 1) and N(δ, 1): the ratio of densities is exp(δx - δ²/2)."""
    shift = 1.0
    source, target = normal(2000, 3, seed=0), normal(1000, 3, seed=1, shift=shift)
    weights = importance_weights(source, target, seed=0)
    expected = np.exp(shift * source[:, 0] - shift**2 / 2)
    assert weights.shape == (2000,)
    assert np.abs(np.log(weights) - np.log(expected)).mean() < 0.15
    assert weights.mean() == pytest.approx(1.0, abs=0.1)
    assert (weights > 0).all()


@pytest.mark.parametrize("features", [3, 300])
def test_equal_domains_weigh_all_alike(features):
    """Also with more features than a classifier could resist overfitting to."""
    weights = importance_weights(normal(200, features, seed=0), normal(400, features, seed=1), seed=0)
    assert weights.sum() == pytest.approx(200, rel=0.05)
    assert weights.std() < 0.15


def predictions(features: np.ndarray, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A model that is the less sure of class 1 the larger the first feature, and labels that are all 1."""
    of_true = 1.0 / (1.0 + np.exp(features[:, 0] - 1.0))
    return np.stack([1.0 - of_true, of_true], axis=1), np.ones(len(features), dtype=int)


def test_equal_domains_give_the_source_risk():
    source, target = normal(1000, 4, seed=0), normal(1000, 4, seed=1)
    probabilities, labels = predictions(source, seed=0)
    found = deep_embedded_validation(probabilities, labels, source, target)
    assert found == pytest.approx(source_risk(probabilities, labels), rel=0.03)


def test_a_shift_gives_the_targets_risk():
    """It is twice the source's, and DEV finds it without a target label."""
    source, target = normal(4000, 4, seed=0), normal(4000, 4, seed=1, shift=1.0)
    probabilities, labels = predictions(source, seed=0)
    on_target = source_risk(*predictions(target, seed=0))
    assert on_target > 1.6 * source_risk(probabilities, labels)
    found = deep_embedded_validation(probabilities, labels, source, target)
    assert found == pytest.approx(on_target, rel=0.05)


def test_the_seed_alone_decides_the_folds():
    source, target = normal(100, 4, seed=0), normal(60, 4, seed=1, shift=0.5)
    once = importance_weights(source, target, seed=0)
    assert np.array_equal(once, importance_weights(source, target, seed=0))
    assert not np.array_equal(once, importance_weights(source, target, seed=1))


def test_log_losses():
    probabilities = np.array([[0.25, 0.75], [1.0, 0.0]], dtype=np.float32)
    assert log_losses(probabilities, np.array([1, 0])) == pytest.approx([-np.log(0.75), 0.0])
    assert log_losses(probabilities, np.array([0, 1])) == pytest.approx([np.log(4), -np.log(1e-45)])
    assert source_risk(probabilities, np.array([0, 0])) == pytest.approx(np.log(2))
