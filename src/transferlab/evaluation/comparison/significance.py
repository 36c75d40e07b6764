"""Tests of two methods: paired bootstrap over test samples, Wilcoxon's signed ranks over seeds, Holm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_DRAWS = 9999


@dataclass(frozen=True)
class PairedDifference:
    """Difference by which the first of two methods is better."""

    difference: float  # of their metrics, first minus second
    p_value: float  # two-sided, above 0 and at most 1


def paired_bootstrap(
    differences_N: np.ndarray, strata_N: np.ndarray, groups_N: np.ndarray | None = None
) -> PairedDifference:
    """Bootstrap test on shared test images; Efron & Tibshirani (1993), chapter 16.

    The metric is the mean over strata of the mean difference within each, and images are drawn within their
    stratum: one stratum for all makes it the difference of accuracies, the true classes as strata that of
    balanced accuracies. The p-value is the share of draws that lie as far from the observed difference as
    this lies from none; equal methods have 1.

    Where several images are of one group (a patient), whole groups are drawn, and deviations are stretched by
    Student's t for the number of groups. Seeds are taken as they are: this says what other images would show
    of the same trained models.

    Args:
        differences_N: of each image, the share of seeds with which the first method is right minus that with
            which the second is; in [-1, 1]. At least one image.
        strata_N: codes.
        groups_N: codes; None: each image is one of its own.

    >>> paired_bootstrap(np.zeros(50), np.zeros(50, int))
    PairedDifference(difference=0.0, p_value=1.0)
    """
    generator = np.random.default_rng(0)
    rounded_N = np.round(differences_N, 12)  # equal differences must be, whichever sums they come from
    if groups_N is not None and len(np.unique(groups_N)) < len(groups_N):
        observed, drawn_R = _drawn_by_group(rounded_N, strata_N, groups_N, generator)
    else:
        observed, drawn_R = _drawn_by_image(rounded_N, strata_N, generator)
    as_far = np.abs(drawn_R - observed) >= abs(observed) - 1e-12
    return PairedDifference(float(observed), float((1 + as_far.sum()) / (1 + len(drawn_R))))


def _drawn_by_image(
    differences_N: np.ndarray, strata_N: np.ndarray, generator: np.random.Generator
) -> tuple[float, np.ndarray]:
    observed, drawn_R = 0.0, np.zeros(_DRAWS)
    strata = np.unique(strata_N)
    for stratum in strata:
        # few values occur, so that counts of them stand for the images
        values_K, counts_K = np.unique(differences_N[strata_N == stratum], return_counts=True)
        size = counts_K.sum()
        draws_RK = generator.multinomial(size, counts_K / size, size=_DRAWS)
        observed += counts_K @ values_K / size / len(strata)
        drawn_R += draws_RK @ values_K / size / len(strata)
    return observed, drawn_R


def _drawn_by_group(
    differences_N: np.ndarray, strata_N: np.ndarray, groups_N: np.ndarray, generator: np.random.Generator
) -> tuple[float, np.ndarray]:
    """The metric is linear in the groups' shares of each stratum to first order; no draw lacks a stratum."""
    from scipy import stats

    _, strata_N = np.unique(strata_N, return_inverse=True)
    _, groups_N = np.unique(groups_N, return_inverse=True)
    sizes_K = np.bincount(strata_N)
    means_K = np.bincount(strata_N, weights=differences_N) / sizes_K
    around_N = (differences_N - means_K[strata_N]) / sizes_K[strata_N] / len(sizes_K)
    around_G = np.bincount(groups_N, weights=around_N)
    num_groups, observed = len(around_G), float(means_K.mean())
    if num_groups == 1:
        return observed, np.full(_DRAWS, 2 * observed)  # nothing is known of other groups: p = 1
    at_once = max(1, 2**24 // num_groups)
    parts = [
        generator.multinomial(num_groups, np.full(num_groups, 1 / num_groups), min(at_once, _DRAWS - start))
        @ around_G
        for start in range(0, _DRAWS, at_once)
    ]
    few = stats.t.ppf(0.975, num_groups - 1) / stats.norm.ppf(0.975) * (num_groups / (num_groups - 1)) ** 0.5
    return observed, observed + few * np.concatenate(parts)


_SIGNS = 9999  # of 14 seeds or more so many of the 2^S signs are drawn; of fewer, all are taken


@dataclass(frozen=True)
class SignedRank:
    """Result of the test of two methods.

    Attributes:
        rank_sum: ranks of the seeds with which the first is better, minus those with which the second is. Its
            sign may be another than that of the mean difference: many small ones outweigh a large one.
        p_value: two-sided.
    """

    rank_sum: float
    p_value: float


def signed_rank(differences_S: np.ndarray) -> SignedRank:
    """Wilcoxon's signed-rank test (1945) on the differences of S seeds.

    The null distribution is that of the ranks at hand under all 2^S signs: exact also with ties and zeros,
    which are frequent as metrics are counts of samples. Zeros keep their rank and count for neither side
    (Pratt 1959).

    Args:
        differences_S: first minus second method, one for each shared seed; at least one.

    >>> signed_rank(np.array([0.01, 0.02, 0.03, 0.04, 0.05, 0.06]))
    SignedRank(rank_sum=21.0, p_value=0.03125)
    """
    from scipy import stats

    rounded_S = np.round(differences_S, 12)  # equal differences must be, whichever subtraction they are from
    if not rounded_S.any():
        return SignedRank(0.0, 1.0)
    signed_ranks_S = np.sign(rounded_S) * stats.rankdata(np.abs(rounded_S))
    found = stats.permutation_test(
        (signed_ranks_S,),
        lambda signed_ranks, axis: signed_ranks.sum(axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=_SIGNS,
        random_state=np.random.default_rng(0),
    )
    return SignedRank(float(signed_ranks_S.sum()), float(found.pvalue))


def seeds_needed(num_comparisons: int, *, level: float = 0.05) -> int:
    """From how many shared seeds on the test can show a difference among so many comparisons.

    If all S differences have one sign, the p-value is 2^(1-S), and the correction by Holm multiplies the
    smallest p-value by the number of comparisons.

    >>> seeds_needed(1), seeds_needed(3)
    (6, 7)
    """
    num_seeds = 1
    while num_comparisons * 2.0 ** (1 - num_seeds) >= level:
        num_seeds += 1
    return num_seeds


def holm(p_values_M: np.ndarray) -> np.ndarray:
    """P-values `(M,)` corrected by Holm's step-down procedure (1979), in the given order.

    The smallest is multiplied by M, the next by M - 1, and so on; none becomes smaller than one before it,
    nor larger than 1. Calling a difference shown where the result is below 0.05 is wrong, for any of the M
    comparisons, in at most 5 % of families, however they depend on each other.

    >>> holm(np.array([0.04, 0.01, 0.03])).round(3).tolist()
    [0.06, 0.03, 0.06]
    """
    order = np.argsort(p_values_M, kind="stable")
    factors = np.arange(len(p_values_M), 0, -1)
    corrected = np.empty(len(p_values_M))
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(factors * np.asarray(p_values_M)[order]))
    return corrected
