"""KID's formula against torchmetrics, and about 0 without a gap."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.image import kid as reference

from transferlab.evaluation.gap.mmd import kid, polynomial_kernel, polynomial_mmd


def normal(samples: int, features: int, *, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1.0, size=(samples, features))


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_against_torchmetrics(shift):
    source, target = normal(40, 16, seed=0), normal(40, 16, seed=1, shift=shift)
    expected = reference.poly_mmd(torch.as_tensor(source), torch.as_tensor(target)).item()
    assert polynomial_mmd(source, target) == pytest.approx(expected, rel=1e-12)
    kernel = reference.poly_kernel(torch.as_tensor(source), torch.as_tensor(target)).numpy()
    assert polynomial_kernel(source, target) == pytest.approx(kernel, rel=1e-12)


def test_whole_domains_as_the_only_subset_are_torchmetrics_figure():
    source, target = normal(50, 8, seed=0), normal(50, 8, seed=1, shift=1.0)
    expected = reference.poly_mmd(torch.as_tensor(source), torch.as_tensor(target)).item()
    found = kid(source, target, seed=0, subset_size=50, num_subsets=3)
    assert found.mean == pytest.approx(expected, rel=1e-12)
    assert found.std == pytest.approx(0.0, abs=1e-12)


def test_by_hand():
    """One feature: x = 0, 1 and y = 2, 0; k(a, b) = (ab + 1)³."""
    source, target = np.array([[0.0], [1.0]]), np.array([[2.0], [0.0]])
    assert polynomial_mmd(source, target) == pytest.approx(1 + 1 - 2 * (1 + 1 + 27 + 1) / 4)


def test_about_zero_without_a_gap_whatever_the_size():
    """Unbiased: the mean over 100 pairs of samples lies within four standard errors of 0."""
    for size in (5, 40):
        values = [
            polynomial_mmd(normal(size, 6, seed=2 * pair), normal(size, 6, seed=2 * pair + 1))
            for pair in range(100)
        ]
        error = np.std(values, ddof=1) / 10
        assert abs(np.mean(values)) < 4 * error
    assert min(values) < 0.0


def test_a_gap_is_far_above_the_spread_of_the_subsets():
    source, target = normal(300, 10, seed=0), normal(200, 10, seed=1, shift=0.5)
    found = kid(source, target, seed=0, subset_size=100, num_subsets=50)
    none = kid(source, normal(200, 10, seed=2), seed=0, subset_size=100, num_subsets=50)
    assert found.mean > 5 * found.std > 0.0
    assert abs(none.mean) < 2 * none.std
    assert found == kid(source, target, seed=0, subset_size=100, num_subsets=50)
    assert found.subset_size == 100


@pytest.mark.parametrize("subset_size", [1, 31])
def test_subsets_that_cannot_be(subset_size):
    with pytest.raises(ValueError, match=f"between 2 and the 30 samples.*got {subset_size}"):
        kid(normal(40, 3, seed=0), normal(30, 3, seed=1), seed=0, subset_size=subset_size)
