"""MMD against its definition and the closed form of Gaussians; p-values with and without a gap."""

from __future__ import annotations

import numpy as np
import pytest

from transferlab.evaluation.gap.mmd import (
    BANDWIDTH_FACTORS,
    gaussian_kernel,
    gaussian_mmd,
    median_heuristic,
    permutation_p_value,
    squared_distances,
    unbiased_mmd,
)


def normal(samples: int, features: int, *, seed: int, shift: float = 0.0) -> np.ndarray:
    """Standard normal samples, the first feature shifted."""
    points = np.random.default_rng(seed).normal(size=(samples, features))
    points[:, 0] += shift
    return points.astype(np.float32)


def test_squared_distances():
    points = normal(7, 3, seed=0).astype(np.float64) + 1e4  # a large mean costs no digits
    expected = np.square(points[:, None] - points[None]).sum(-1)
    assert squared_distances(points) == pytest.approx(expected, abs=1e-9)
    assert np.array_equal(np.diag(squared_distances(points)), np.zeros(7))


def test_kernel_and_median():
    distances = squared_distances(np.array([[0.0], [1.0], [3.0]]))  # 1, 4, 9
    assert median_heuristic(distances) == pytest.approx(4.0)
    kernel = gaussian_kernel(distances, [1.0, 2.0])
    assert kernel[0, 2] == pytest.approx((np.exp(-9 / 2) + np.exp(-9 / 4)) / 2)
    assert np.diag(kernel) == pytest.approx(np.ones(3))


def test_unbiased_mmd_is_its_definition():
    kernel = gaussian_kernel(squared_distances(normal(9, 2, seed=1).astype(float)), [0.7])
    ways = np.array([[1, 1, 1, 1, 0, 0, 0, 0, 0], [0, 1, 0, 1, 0, 1, 0, 0, 0]], dtype=bool)

    def by_hand(in_source: np.ndarray) -> float:
        source, target = np.flatnonzero(in_source), np.flatnonzero(~in_source)
        n, m = len(source), len(target)
        within_source = sum(kernel[i, j] for i in source for j in source if i != j) / (n * (n - 1))
        within_target = sum(kernel[i, j] for i in target for j in target if i != j) / (m * (m - 1))
        return within_source + within_target - 2 * sum(kernel[i, j] for i in source for j in target) / (n * m)

    assert unbiased_mmd(kernel, ways) == pytest.approx([by_hand(way) for way in ways], rel=1e-12)


@pytest.mark.parametrize(("shift", "precision"), [(0.0, 0.001), (1.0, 0.01), (2.0, 0.01)])
def test_closed_form_of_two_gaussians(shift, precision):
    """E exp(-|x - y|² / 2b) over x - y ~ N(μ, 2I) is (b / (b + 2))^(D/2) exp(-|μ|² / 2(b + 2))."""
    features, bandwidth = 3, 2.5
    scale = (bandwidth / (bandwidth + 2)) ** (features / 2)
    expected = 2 * scale * (1 - np.exp(-(shift**2) / (2 * (bandwidth + 2))))
    found = []
    for seed in range(20):
        points = [normal(300, features, seed=2 * seed), normal(200, features, seed=2 * seed + 1, shift=shift)]
        kernel = gaussian_kernel(squared_distances(np.concatenate(points).astype(float)), [bandwidth])
        found.append(unbiased_mmd(kernel, np.arange(500)[None] < 300)[0])
    error = np.std(found, ddof=1) / np.sqrt(len(found))
    assert abs(np.mean(found) - expected) < 4 * error
    assert error < precision  # without a shift, a biased estimate, 0.005 too large, would be seen


def test_p_values_without_a_gap_are_uniform():
    """Over 200 pairs of one distribution: a Kolmogorov-Smirnov bound at 1 in 1000, and few below 5 %."""
    p_values = np.sort(
        [
            gaussian_mmd(
                normal(30, 2, seed=2 * seed), normal(20, 2, seed=2 * seed + 1), seed=seed, num_permutations=99
            ).p_value
            for seed in range(200)
        ]
    )
    steps = np.arange(1, 201) / 200
    assert np.abs(p_values - steps).max() < 1.95 / np.sqrt(200)
    assert (p_values <= 0.05).mean() < 0.10


def test_a_shift_has_a_small_p_value_and_grows_the_mmd():
    found = [
        gaussian_mmd(
            normal(200, 8, seed=0), normal(150, 8, seed=1, shift=shift), seed=0, num_permutations=499
        )
        for shift in (0.0, 1.0, 3.0)
    ]
    assert found[0].p_value > 0.05
    assert found[1].p_value == found[2].p_value == 1 / 500  # the smallest there is
    assert found[0].squared < 0.005 < found[1].squared < found[2].squared < 2.0


def test_a_gap_in_spread_alone_is_seen():
    wider = 2.0 * normal(200, 4, seed=1)
    assert gaussian_mmd(normal(200, 4, seed=0), wider, seed=0, num_permutations=199).p_value == 1 / 200


def test_does_not_depend_on_the_scale_of_the_features():
    source, target = normal(60, 5, seed=0), normal(40, 5, seed=1, shift=1.0)
    once = gaussian_mmd(source, target, seed=0, num_permutations=50)
    thousandfold = gaussian_mmd(1000 * source, 1000 * target, seed=0, num_permutations=50)
    assert thousandfold.squared == pytest.approx(once.squared, rel=1e-6)
    assert thousandfold.p_value == once.p_value


def test_the_kernel_is_the_mean_of_the_stated_bandwidths():
    source, target = normal(10, 2, seed=0), normal(12, 2, seed=1, shift=1.0)
    distances = squared_distances(np.concatenate([source, target]).astype(float))
    bandwidths = [factor * median_heuristic(distances) for factor in BANDWIDTH_FACTORS]
    expected = np.mean(
        [unbiased_mmd(gaussian_kernel(distances, [one]), np.arange(22)[None] < 10)[0] for one in bandwidths]
    )
    assert gaussian_mmd(source, target, seed=0, num_permutations=1).squared == pytest.approx(expected)


def test_the_cap_and_the_seed():
    source, target = normal(500, 3, seed=0), normal(80, 3, seed=1)
    capped = gaussian_mmd(source, target, seed=0, num_permutations=20, max_samples=100)
    assert (capped.num_source, capped.num_target) == (100, 80)
    assert capped == gaussian_mmd(source, target, seed=0, num_permutations=20, max_samples=100)
    assert capped != gaussian_mmd(source, target, seed=1, num_permutations=20, max_samples=100)


@pytest.mark.parametrize("value", [0.0, 3.7])
def test_identical_samples_are_no_gap(value):
    """As after a collapse of the network: each relabelling gives the observed figure, so p = 1."""
    found = gaussian_mmd(np.full((6, 3), value), np.full((9, 3), value), seed=0, num_permutations=50)
    assert found.squared == pytest.approx(0.0, abs=1e-12)
    assert found.p_value == 1.0


def test_permutations_go_over_the_chunks():
    """More of them than are computed at once: b counts them all."""
    kernel = gaussian_kernel(squared_distances(normal(20, 2, seed=3).astype(float)), [1.0])
    in_source = np.arange(20) < 8
    p_value = permutation_p_value(kernel, in_source, num_permutations=257, seed=0)
    assert (p_value * 258) == pytest.approx(round(p_value * 258))
    assert 0.05 < p_value <= 1.0
    with pytest.raises(ValueError, match="at least 1"):
        permutation_p_value(kernel, in_source, num_permutations=0, seed=0)
