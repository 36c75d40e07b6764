"""Whether two methods differ on the population that the test samples stand for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transferlab.evaluation.comparison.intervals import Interval

_DRAWS = 9999


@dataclass(frozen=True)
class PairedDifference:
    """How much better the first of two methods is.

    Attributes:
        difference: of their metrics, first minus second.
        interval: of the difference, over test samples.
        p_value: two-sided, above 0 and at most 1.
    """

    difference: float
    interval: Interval
    p_value: float


def paired_bootstrap(
    differences_N: np.ndarray, strata_N: np.ndarray, *, confidence: float = 0.95
) -> PairedDifference:
    """Bootstrap test on shared test samples; Efron & Tibshirani (1993), chapter 16.

    The metric is the mean over strata of the mean difference within each, and samples are drawn within their
    stratum: one stratum for all makes it the difference of accuracies, the true classes as strata that of
    balanced accuracies. The p-value is the share of draws that lie as far from the observed difference as
    this lies from none; equal methods have 1.

    Seeds are taken as they are: this tells what other samples would show of the same trained models. Samples
    count as independent, also where several are of one patient.

    Args:
        differences_N: of each sample, the share of seeds with which the first method is right minus that with
            which the second is; in [-1, 1]. At least one sample.
        strata_N: codes.
        confidence: of the interval, in (0, 1).

    >>> paired_bootstrap(np.zeros(50), np.zeros(50, int))
    PairedDifference(difference=0.0, interval=Interval(low=0.0, high=0.0), p_value=1.0)
    """
    generator = np.random.default_rng(0)
    rounded_N = np.round(differences_N, 12)  # equal differences must be, whichever sums they come from
    observed, drawn_R = 0.0, np.zeros(_DRAWS)
    strata = np.unique(strata_N)
    for stratum in strata:
        # few values occur, so that counts of them stand for the samples
        values_K, counts_K = np.unique(rounded_N[strata_N == stratum], return_counts=True)
        size = counts_K.sum()
        draws_RK = generator.multinomial(size, counts_K / size, size=_DRAWS)
        observed += counts_K @ values_K / size / len(strata)
        drawn_R += draws_RK @ values_K / size / len(strata)
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn_R, [tail, 1 - tail]).tolist()
    as_far = np.abs(drawn_R - observed) >= abs(observed) - 1e-12
    return PairedDifference(float(observed), Interval(low, high), float((1 + as_far.sum()) / (1 + _DRAWS)))
