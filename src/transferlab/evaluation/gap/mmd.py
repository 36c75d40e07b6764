"""Kernel distances of two domains: maximum mean discrepancy with its permutation test, and KID.

Gretton et al. (2012), A Kernel Two-Sample Test, JMLR 13. Several bandwidths about the median, as in Long et
al. (2015), Learning Transferable Features with Deep Adaptation Networks. KID: Bińkowski et al. (2018),
Demystifying MMD GANs, section 4, on whatever features are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from transferlab.evaluation.gap.feature_samples import sampled_rows
from transferlab.run.randomness import derived_seed

BANDWIDTH_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)  # times the median squared distance
PERMUTATIONS_AT_ONCE = 100
ROUNDING = 1e-12  # kernels are at most 1; relabellings that differ by less are alike


@dataclass(frozen=True)
class MMD:
    """The discrepancy of two domains."""

    # unbiased estimate of MMD², at most 2; about 0, also below it, where the domains are alike
    squared: float
    p_value: float  # how often a random relabelling of the samples gives as much, in (0, 1]
    num_source: int  # samples that were compared, after the cap
    num_target: int  # likewise


def gaussian_mmd(
    source_ND: np.ndarray,
    target_MD: np.ndarray,
    *,
    seed: int,
    num_permutations: int = 1000,
    max_samples: int = 2000,
) -> MMD:
    """Unbiased squared MMD of two domains with a permutation test.

    The kernel is the mean of Gaussian ones `exp(-d² / (2 f m))` over the factors f, with m the median squared
    distance between samples of both domains. It does not change when all features are multiplied by a number.

    Args:
        source_ND: features of N samples.
        target_MD: features of M samples.
        seed: of the sample and of the relabellings.
        num_permutations: B random relabellings; the smallest possible p-value is 1 / (B + 1).
        max_samples: cap for each domain; memory is about 30 bytes × (2 · max_samples)².
    """
    source = source_ND[sampled_rows(len(source_ND), max_samples, seed=seed, what="source")]
    target = target_MD[sampled_rows(len(target_MD), max_samples, seed=seed, what="target")]
    distances_PP = squared_distances(np.concatenate([source, target]).astype(np.float64))
    scale = median_heuristic(distances_PP)
    kernel_PP = gaussian_kernel(distances_PP, [factor * scale for factor in BANDWIDTH_FACTORS])
    in_source_P = np.arange(len(kernel_PP)) < len(source)
    squared = unbiased_mmd(kernel_PP, in_source_P[None])[0]
    p_value = permutation_p_value(kernel_PP, in_source_P, num_permutations=num_permutations, seed=seed)
    return MMD(float(squared), p_value, len(source), len(target))


def squared_distances(points_PD: np.ndarray) -> np.ndarray:
    """Squared Euclidean distance of each pair, shape (P, P), zero on the diagonal."""
    centred = points_PD - points_PD.mean(0)  # large means would cancel digits
    norms_P = np.einsum("pd,pd->p", centred, centred)
    distances = centred @ centred.T
    distances *= -2.0
    distances += norms_P[:, None]
    distances += norms_P[None, :]
    np.maximum(distances, 0.0, out=distances)
    np.fill_diagonal(distances, 0.0)
    return distances


def median_heuristic(distances_PP: np.ndarray) -> float:
    """The median squared distance of different samples; their mean where most are duplicates, 1 where all
    are.
    """
    pairs = distances_PP[np.tri(len(distances_PP), k=-1, dtype=bool)]
    return float(np.median(pairs)) or float(pairs.mean()) or 1.0


def gaussian_kernel(distances_PP: np.ndarray, bandwidths: Sequence[float]) -> np.ndarray:
    """Mean of `exp(-d² / (2 b))` over the squared bandwidths b, shape (P, P), in [0, 1]."""
    kernel = np.zeros_like(distances_PP)
    for bandwidth in bandwidths:
        one = distances_PP / (-2.0 * bandwidth)
        kernel += np.exp(one, out=one)
    kernel /= len(bandwidths)
    return kernel


def unbiased_mmd(kernel_PP: np.ndarray, in_source_BP: np.ndarray) -> np.ndarray:
    """Squared MMD (Gretton et al. 2012, lemma 6) for each of B ways to divide P samples, shape (B,).

    Args:
        kernel_PP: the kernel of each pair of samples; the diagonal does not count.
        in_source_BP: whether a sample is of the source, at least two of them and of the others in each row.
    """
    weights = in_source_BP.astype(np.float64)
    diagonal_P = kernel_PP.diagonal()
    rows_P = kernel_PP.sum(1) - diagonal_P
    n, m = weights.sum(1), (1.0 - weights).sum(1)
    to_all = weights @ rows_P
    within_source = np.einsum("bp,bp->b", weights @ kernel_PP, weights) - weights @ diagonal_P
    across = to_all - within_source
    within_target = rows_P.sum() - to_all - across
    return within_source / (n * (n - 1)) + within_target / (m * (m - 1)) - 2.0 * across / (n * m)


def permutation_p_value(
    kernel_PP: np.ndarray, in_source_P: np.ndarray, *, num_permutations: int, seed: int
) -> float:
    """Probability of at least the observed MMD² if both domains were one: (b + 1) / (B + 1), where b of B
    random relabellings give as much.

    Phipson & Smyth (2010), Permutation P-values Should Never Be Zero.
    """
    if num_permutations < 1:
        raise ValueError(f"num_permutations must be at least 1; got {num_permutations}.")
    observed = unbiased_mmd(kernel_PP, in_source_P[None])[0]
    generator = np.random.default_rng(derived_seed("permutations", seed))
    as_much = 0
    for done in range(0, num_permutations, PERMUTATIONS_AT_ONCE):
        at_once = min(PERMUTATIONS_AT_ONCE, num_permutations - done)
        shuffled_BP = generator.permuted(np.tile(in_source_P, (at_once, 1)), axis=1)
        as_much += int((unbiased_mmd(kernel_PP, shuffled_BP) >= observed - ROUNDING).sum())
    return (as_much + 1) / (num_permutations + 1)


@dataclass(frozen=True)
class KID:
    """The kernel distance over random subsets."""

    # unbiased, so about 0, also below it, where the domains are alike; grows with the features' scale
    mean: float
    std: float  # standard deviation over the subsets, of a single subset's value
    subset_size: int  # samples of each domain in a subset


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
