"""The gap between two domains: every measure at once, on a capped sample of their features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transferlab.evaluation.gap.a_distance import proxy_a_distance
from transferlab.evaluation.gap.feature_samples import check_two_domains
from transferlab.evaluation.gap.mmd import gaussian_mmd, kid
from transferlab.evaluation.gap.moments import coral_distance, frechet_distance, total_variance
from transferlab.run.randomness import derived_seed

KID_SUBSET_SIZE = 500


@dataclass(frozen=True)
class DomainGap:
    """The distances between the features of two domains; all are larger the farther apart they are.

    `mmd`, `mmd_p_value`, `frechet_relative` and `a_distance` do not change when all features are multiplied
    by a number, so they may be compared between networks, or before and after adaptation. `frechet`, `kid`
    and `coral` depend on the features' scale and are comparable for one network only.

    Attributes:
        num_source: samples of the source.
        num_target: samples of the target.
        num_features: features of a sample.
        mmd: unbiased squared MMD with Gaussian kernels, at most 2; about 0 without a gap.
        mmd_p_value: probability of that much by chance, in (0, 1].
        a_distance: proxy A-distance, 0 (a linear classifier is at chance) to 2 (it makes no mistake).
        a_distance_error: its standard error.
        frechet: squared Fréchet distance, at least 0.
        frechet_floor: what it is if the same samples are divided at random: what 0 looks like with this many.
        frechet_relative: `frechet` in parts of the features' total variance, 0 to 4.
        kid: KID's formula, mean over random subsets; about 0 without a gap.
        kid_std: standard deviation over the subsets.
        kid_subset_size: samples of each domain in a subset.
        coral: CORAL distance, at least 0; blind to a difference of the means.
        coral_floor: as `frechet_floor`.
    """

    num_source: int
    num_target: int
    num_features: int
    mmd: float
    mmd_p_value: float
    a_distance: float
    a_distance_error: float
    frechet: float
    frechet_floor: float
    frechet_relative: float
    kid: float
    kid_std: float
    kid_subset_size: int
    coral: float
    coral_floor: float


def domain_gap(
    source_ND: np.ndarray,
    target_MD: np.ndarray,
    *,
    seed: int,
    num_permutations: int = 1000,
    max_samples: int = 2000,
    num_subsets: int = 100,
) -> DomainGap:
    """Every measure of the gap between two domains.

    Args:
        source_ND: features of N samples, float32 or float64.
        target_MD: features of M samples from the same network.
        seed: of all samples, subsets, folds and relabellings; the same seed gives the same values.
        num_permutations: random relabellings for the p-value of the MMD.
        max_samples: cap for each domain in the MMD and the A-distance; the others use every sample.
        num_subsets: of the KID, each of 500 samples of each domain, or half the smaller domain.

    Raises:
        ValueError: unless both are finite, of at least 4 samples, and of the same number of features.
    """
    check_two_domains(source_ND, target_MD)
    subset_size = min(KID_SUBSET_SIZE, min(len(source_ND), len(target_MD)) // 2)
    mmd = gaussian_mmd(
        source_ND, target_MD, seed=seed, num_permutations=num_permutations, max_samples=max_samples
    )
    a_distance = proxy_a_distance(source_ND, target_MD, seed=seed, max_samples=max_samples)
    kernel = kid(source_ND, target_MD, seed=seed, subset_size=subset_size, num_subsets=num_subsets)
    one, other = divided_at_random(source_ND, target_MD, seed=seed)
    frechet = frechet_distance(source_ND, target_MD)
    variance = total_variance(source_ND, target_MD)
    return DomainGap(
        num_source=len(source_ND),
        num_target=len(target_MD),
        num_features=source_ND.shape[1],
        mmd=mmd.squared,
        mmd_p_value=mmd.p_value,
        a_distance=a_distance.value,
        a_distance_error=a_distance.standard_error,
        frechet=frechet,
        frechet_floor=frechet_distance(one, other),
        frechet_relative=frechet / variance if variance else 0.0,
        kid=kernel.mean,
        kid_std=kernel.std,
        kid_subset_size=subset_size,
        coral=coral_distance(source_ND, target_MD),
        coral_floor=coral_distance(one, other),
    )


def divided_at_random(
    source_ND: np.ndarray, target_MD: np.ndarray, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The samples of both domains shuffled and divided again into N and M: two domains without a gap."""
    pooled = np.concatenate([source_ND, target_MD])
    order = np.random.default_rng(derived_seed("divided at random", seed)).permutation(len(pooled))
    return pooled[order[: len(source_ND)]], pooled[order[len(source_ND) :]]
