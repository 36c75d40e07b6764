"""Whether two methods differ over seeds: the Wilcoxon signed-rank test, exact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_SIGNS = 9999  # of 14 seeds or more so many of the 2^S signs are drawn; of fewer, all are taken


@dataclass(frozen=True)
class SignedRank:
    """What the test says of two methods.

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
