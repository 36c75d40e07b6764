"""DEV by hand, against the formula of its authors, and where the target's risk is known."""

from __future__ import annotations

import numpy as np
import pytest

from transferlab.evaluation.selection.deep_embedded_validation import (
    deep_embedded_validation,
    importance_weights,
    weighted_risk,
)
from transferlab.evaluation.selection.scores import log_losses, source_risk


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
