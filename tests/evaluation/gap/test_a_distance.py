"""The proxy A-distance where it is known: none, all, and that of two Gaussians."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from transferlab.evaluation.gap.a_distance import proxy_a_distance


def normal(samples: int, features: int, *, seed: int, shift: float = 0.0) -> np.ndarray:
    points = np.random.default_rng(seed).normal(size=(samples, features))
    points[:, 0] += shift
    return points.astype(np.float32)


def test_without_a_gap_about_zero():
    found = [proxy_a_distance(normal(300, 5, seed=s), normal(300, 5, seed=s + 50), seed=s) for s in range(5)]
    assert all(0.0 <= one.value < 4 * one.standard_error for one in found)


def test_far_apart_two():
    found = proxy_a_distance(normal(50, 5, seed=0), normal(40, 5, seed=1, shift=20.0), seed=0)
    assert (found.value, found.standard_error) == (2.0, 0.0)


def test_two_gaussians():
    """The best linear classifier errs on Φ(-δ/2) of the samples."""
    shift = 1.5
    found = proxy_a_distance(normal(1500, 4, seed=0), normal(1500, 4, seed=1, shift=shift), seed=0)
    assert abs(found.value - 2 * (1 - 2 * norm.cdf(-shift / 2))) < 3 * found.standard_error
    error = norm.cdf(-shift / 2)
    assert found.standard_error == pytest.approx(4 * np.sqrt(error * (1 - error) / 3000), rel=0.05)


def test_unequal_domains_are_not_told_apart_by_their_size():
    """A classifier that always says "source" would err on few of the samples."""
    found = proxy_a_distance(normal(1000, 3, seed=0), normal(50, 3, seed=1), seed=0)
    assert found.value < 3 * found.standard_error
    apart = proxy_a_distance(normal(1000, 3, seed=0), normal(50, 3, seed=1, shift=3.0), seed=0)
    assert abs(apart.value - 2 * (1 - 2 * norm.cdf(-1.5))) < 3 * apart.standard_error


def test_more_features_than_samples():
    same = proxy_a_distance(normal(40, 300, seed=0), normal(40, 300, seed=1), seed=0)
    apart = proxy_a_distance(normal(40, 300, seed=0), normal(40, 300, seed=1) + 0.5, seed=0)
    assert same.value < 3 * same.standard_error
    assert apart.value > 1.5


def test_blind_to_the_spread():
    found = proxy_a_distance(normal(500, 4, seed=0), 3 * normal(500, 4, seed=1), seed=0)
    assert found.value < 4 * found.standard_error


def test_all_alike_and_scale():
    assert proxy_a_distance(np.ones((10, 3)), np.ones((8, 3)), seed=0).value == 0.0
    source, target = normal(100, 4, seed=0), normal(100, 4, seed=1, shift=1.0)
    assert proxy_a_distance(64 * source, 64 * target, seed=0) == proxy_a_distance(source, target, seed=0)


def test_the_cap():
    source, target = normal(400, 3, seed=0), normal(300, 3, seed=1, shift=1.0)
    capped = proxy_a_distance(source, target, seed=0, max_samples=50)
    assert capped.standard_error > 2 * proxy_a_distance(source, target, seed=0).standard_error
    assert capped == proxy_a_distance(source, target, seed=0, max_samples=50)
