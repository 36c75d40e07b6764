"""Fréchet and CORAL distances against closed forms, scipy's matrix root and torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from torchmetrics.image.fid import _compute_fid

from transferlab.evaluation.gap import moments
from transferlab.evaluation.gap.moments import (
    coral_distance,
    frechet_distance,
    mean_and_factor,
    total_variance,
)


def correlated(samples: int, features: int, *, seed: int, shift: float = 0.0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    mixing = generator.normal(size=(features, features)) / np.sqrt(features)
    return generator.normal(size=(samples, features)) @ mixing + shift


def with_moments(mean_D: np.ndarray, covariance_DD: np.ndarray, samples: int, *, seed: int) -> np.ndarray:
    """Samples whose mean and unbiased covariance are exactly these."""
    points = np.random.default_rng(seed).normal(size=(samples, len(mean_D)))
    points -= points.mean(0)
    whitened = np.linalg.solve(np.linalg.cholesky(np.cov(points.T)), points.T).T
    return whitened @ np.linalg.cholesky(covariance_DD).T + mean_D


def test_mean_and_factor_are_numpys_moments(monkeypatch):
    monkeypatch.setattr(moments, "ROWS_AT_ONCE", 16)  # several chunks, the last one short
    features = correlated(70, 5, seed=0, shift=100.0)
    mean, factor = mean_and_factor(features)
    assert mean == pytest.approx(features.mean(0))
    assert factor.T @ factor == pytest.approx(np.cov(features.T), abs=1e-12)
    assert factor.shape == (5, 5)
    assert mean_and_factor(features[:3])[1].shape == (3, 5)


def test_frechet_closed_form_of_diagonal_gaussians():
    """Variances a and b on the axes: |μ|² + Σ (√a - √b)²."""
    source = with_moments(np.zeros(3), np.diag([1.0, 4.0, 9.0]), 200, seed=0)
    target = with_moments(np.array([1.0, 2.0, -2.0]), np.diag([4.0, 4.0, 1.0]), 100, seed=1)
    assert frechet_distance(source, target) == pytest.approx(9 + 1 + 0 + 4, rel=1e-10)


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_frechet_against_the_matrix_root_and_torchmetrics(shift):
    source, target = correlated(90, 12, seed=0), correlated(70, 12, seed=1, shift=shift)
    covariances = np.cov(source.T), np.cov(target.T)
    means = source.mean(0), target.mean(0)
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    by_root = np.square(means[0] - means[1]).sum() + np.trace(sum(covariances) - 2 * root)
    found = frechet_distance(source, target)
    assert found == pytest.approx(by_root, rel=1e-9)
    arguments = (means[0], covariances[0], means[1], covariances[1])
    assert found == pytest.approx(_compute_fid(*map(torch.as_tensor, arguments)).item(), rel=1e-9)


def test_frechet_with_fewer_samples_than_features():
    """Rotated into many dimensions nothing changes, though the covariances become singular."""
    source, target = correlated(30, 6, seed=0), correlated(20, 6, seed=1, shift=0.5)
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(64, 64)))[0][:6]
    expected = frechet_distance(source, target)
    found = frechet_distance((source @ rotation).astype(np.float32), (target @ rotation).astype(np.float32))
    assert found == pytest.approx(expected, rel=1e-5)
    few = np.random.default_rng(3).normal(size=(2, 10, 200))
    covariances = [np.cov(one.T) for one in few]
    means = few.mean(1)
    singular_values = np.linalg.svd((few[0] - means[0]) @ (few[1] - means[1]).T / 9, compute_uv=False)
    expected = np.square(means[0] - means[1]).sum() + np.trace(sum(covariances)) - 2 * singular_values.sum()
    assert frechet_distance(*few) == pytest.approx(expected, rel=1e-10)


def test_frechet_of_a_domain_and_itself():
    features = correlated(10, 40, seed=0)
    assert frechet_distance(features, features[::-1]) == pytest.approx(0.0, abs=1e-10)
    assert frechet_distance(features, features) >= 0.0


def test_coral_of_known_covariances():
    """I against 3I in three dimensions: |2I|² / (4 · 9) = 12 / 36; the means do not count."""
    source = with_moments(np.zeros(3), np.eye(3), 50, seed=0)
    target = with_moments(np.full(3, 7.0), 3 * np.eye(3), 40, seed=1)
    assert coral_distance(source, target) == pytest.approx(12 / 36, rel=1e-10)
    assert coral_distance(source, source + 5.0) == pytest.approx(0.0, abs=1e-20)


def test_coral_with_fewer_samples_than_features():
    source, target = correlated(8, 20, seed=0), correlated(5, 20, seed=1)
    expected = np.square(np.cov(source.T) - np.cov(target.T)).sum() / (4 * 400)
    assert coral_distance(source, target) == pytest.approx(expected, rel=1e-10)


def test_total_variance_is_that_of_an_even_mixture():
    generator = np.random.default_rng(0)
    source, target = generator.normal(size=(200_000, 2)), generator.normal(3.0, 2.0, size=(50_000, 2))
    mixture = np.concatenate([source[:50_000], target])
    assert total_variance(source, target) == pytest.approx(mixture.var(0).sum(), rel=0.01)


def test_relative_frechet_is_at_most_four():
    """Two points far apart: the shift is four times the variance of their mixture."""
    source, target = np.zeros((4, 2)), np.full((6, 2), 5.0)
    assert frechet_distance(source, target) / total_variance(source, target) == pytest.approx(4.0)
