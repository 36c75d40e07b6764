"""Kernel distance of two domains: KID's formula, on whatever features are given.

Bińkowski et al. (2018), Demystifying MMD GANs, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transferlab.run.randomness import derived_seed


@dataclass(frozen=True)
class KID:
    """The kernel distance over random subsets.

    Attributes:
        mean: unbiased, so about 0, also below it, where the domains are alike; grows with the features'
            scale.
        std: standard deviation over the subsets, of a single subset's value.
        subset_size: samples of each domain in a subset.
    """

    mean: float
    std: float
    subset_size: int


def kid(
    source_ND: np.ndarray, target_MD: np.ndarray, *, seed: int, subset_size: int, num_subsets: int = 100
) -> KID:
    """Mean unbiased squared MMD with the kernel `(x·y / D + 1)³` over random subsets of both domains.

    Args:
        source_ND: features of N samples.
        target_MD: features of M samples.
        seed: of the subsets.
        subset_size: samples of each domain in a subset, 2 to min(N, M); the paper takes 1000.
        num_subsets: each drawn without replacement, independently of the others.
    """
    most = min(len(source_ND), len(target_MD))
    if not 2 <= subset_size <= most:
        raise ValueError(
            f"subset_size must lie between 2 and the {most} samples of the smaller domain; got {subset_size}."
        )
    generator = np.random.default_rng(derived_seed("kernel distance", seed))
    values = []
    for _ in range(num_subsets):
        source = source_ND[generator.choice(len(source_ND), subset_size, replace=False)]
        target = target_MD[generator.choice(len(target_MD), subset_size, replace=False)]
        values.append(polynomial_mmd(source.astype(np.float64), target.astype(np.float64)))
    return KID(float(np.mean(values)), float(np.std(values)), subset_size)


def polynomial_mmd(source_ND: np.ndarray, target_ND: np.ndarray) -> float:
    """Unbiased squared MMD of two samples of the same size N ≥ 2 with the cubic kernel."""
    n = len(source_ND)
    within = _sum_of_different(source_ND) + _sum_of_different(target_ND)
    across = polynomial_kernel(source_ND, target_ND).sum()
    return float(within / (n * (n - 1)) - 2.0 * across / n**2)


def polynomial_kernel(one_ND: np.ndarray, other_MD: np.ndarray) -> np.ndarray:
    """`(x·y / D + 1)³` for each pair, shape (N, M)."""
    inner = one_ND @ other_MD.T / one_ND.shape[1] + 1.0
    return inner * inner * inner


def _sum_of_different(points_ND: np.ndarray) -> float:
    kernel = polynomial_kernel(points_ND, points_ND)
    return float(kernel.sum() - kernel.trace())
