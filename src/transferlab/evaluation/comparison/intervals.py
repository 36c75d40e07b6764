"""Intervals of a metric, and of the difference of two methods, over test images and seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transferlab.evaluation.comparison.answers import Answers
from transferlab.evaluation.comparison.variation import FEWEST_SEEDS, effective_images

WITH_INTERVALS = ("accuracy", "balanced_accuracy", "macro_f1")
"""Metrics with an interval. AUROC and loss have none: nothing was found that holds for few images."""

# Pseudo-counts of the binomial interval: with 1 it is that of Clopper & Pearson, which never holds less than
# promised; with 1/2 it is close to mid-P, right on average. Between them where the number of images is
# an estimate.
_EXACT, _ESTIMATED = 1.0, 0.75


@dataclass(frozen=True)
class Interval:
    """A confidence interval, both ends included."""

    low: float
    high: float


def coverage_of(answers: Answers) -> str:
    """Coverage of an interval from these answers in words, e.g. `other images and other seeds`."""
    return coverage(answers.num_seeds, is_grouped=answers.is_grouped, is_constant=answers.is_constant)


def coverage(num_seeds: int, *, is_grouped: bool, is_constant: bool) -> str:
    """The same by its facts: whether images are in groups, and whether seeds give the same."""
    images = "other groups of images" if is_grouped else "other images"
    if num_seeds > 1 and is_constant:
        return f"{images}; seeds do not vary"
    return f"{images} and other seeds" if num_seeds >= FEWEST_SEEDS else f"{images}, not other seeds"


def intervals(answers: Answers, *, confidence: float = 0.95) -> dict[str, Interval]:
    """Intervals of `WITH_INTERVALS`, of the mean over seeds; `coverage_of` says what they cover.

    A binomial interval with the number of images that would tell as much if they were independent
    (`variation.py`). Of the accuracy of one model, on images without groups, it is exact (Clopper & Pearson
    1934). None where all images are of one group.

    >>> round(intervals(Answers.of(labels=[0] * 30, guesses=[[0] * 30]))["accuracy"].low, 4)
    0.8843
    """
    labels_N, guesses_SN, groups_N = answers.labels_N, answers.guesses_SN, answers.groups_N
    if answers.num_groups < 2:
        return {}
    if answers.is_constant:
        guesses_SN = guesses_SN[:1]
    right_SN = guesses_SN == labels_N
    balanced_N = _balancing(labels_N)
    metrics = {
        "accuracy": (right_SN.astype(np.float64), np.ones(len(labels_N))),
        "balanced_accuracy": (_recalls(right_SN, labels_N), balanced_N),
        "macro_f1": (_f1_scores(guesses_SN, labels_N), balanced_N),
    }
    found = {}
    for name, (values_SN, weights_N) in metrics.items():
        low_B, high_B = proportion_limits(
            values_SN[None], right_SN[None], groups_N, weights_N, confidence=confidence
        )
        found[name] = Interval(float(low_B[0]), float(high_B[0]))
    return found


def _recalls(right_SN: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    """Contributions `(S, N)` whose mean over images is the balanced accuracy, and their spread its spread.

    The spread within a class is around its own recall; Bessel's correction for it.
    """
    counts_C = np.bincount(labels_N)
    num_classes, shown_C = np.count_nonzero(counts_C), np.maximum(counts_C, 1)
    recalls_SC = np.stack([np.bincount(labels_N, weights=right_N) / shown_C for right_N in right_SN])
    scale_C = len(labels_N) / num_classes / np.sqrt(shown_C * np.maximum(counts_C - 1, 1))
    around_SN = (right_SN - recalls_SC[:, labels_N]) * scale_C[labels_N]
    return around_SN + recalls_SC.sum(1, keepdims=True) / num_classes


def _f1_scores(guesses_SN: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    """Contributions `(S, N)` whose mean over images is the macro F1, and their spread its spread.

    The derivative of each class's `2 hits / (images + predictions)` by an image's weight (delta method).
    """
    size, num_codes = len(labels_N), int(max(labels_N.max(), guesses_SN.max())) + 1
    values = []
    for guesses_N in guesses_SN:
        hits_N = (guesses_N == labels_N).astype(np.float64)
        both_C = np.bincount(labels_N, minlength=num_codes) + np.bincount(guesses_N, minlength=num_codes)
        scores_C = 2 * np.bincount(labels_N, weights=hits_N, minlength=num_codes) / np.maximum(both_C, 1)
        num_classes, slope_C = np.count_nonzero(both_C), scores_C / np.maximum(both_C, 1)
        around_N = 2 * hits_N / both_C[labels_N] - slope_C[labels_N] - slope_C[guesses_N]
        values.append(around_N * size / num_classes + scores_C.sum() / num_classes)
    return np.stack(values)


def proportion_limits(
    values_BSN: np.ndarray,
    right_BSN: np.ndarray,
    groups_N: np.ndarray,
    weights_N: np.ndarray,
    *,
    confidence: float = 0.95,
) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper ends `(B,)` of the intervals of B metrics between 0 and 1.

    Args:
        values_BSN: contributions, whose mean is the metric.
        right_BSN: answers that are right.
        groups_N: codes of at least two groups.
        weights_N: of an image in the metric.
        confidence: in (0, 1).
    """
    from scipy import stats

    mean_B = np.clip(values_BSN.mean((1, 2)), 0, 1)
    size_B = _size(values_BSN, ~right_BSN, groups_N, weights_N, mean_B * (1 - mean_B), confidence)
    is_exact = values_BSN.shape[1] == 1 and _are_single(groups_N) and (weights_N == weights_N[0]).all()
    more = _EXACT if is_exact else _ESTIMATED
    if is_exact:
        size_B = np.full(len(mean_B), len(groups_N))
    tail, less = (1 - confidence) / 2, 1 - more
    hits_B, misses_B = size_B * mean_B, size_B * (1 - mean_B)
    tiny = 1e-9
    low_B = stats.beta.ppf(tail, np.maximum(hits_B + less, tiny), misses_B + more)
    high_B = stats.beta.ppf(1 - tail, hits_B + more, np.maximum(misses_B + less, tiny))
    all_B, none_B = mean_B >= 1 - tiny, mean_B <= tiny
    low_B = np.select([none_B, all_B], [0.0, tail ** (1 / size_B)], low_B)
    high_B = np.select([all_B, none_B], [1.0, 1 - tail ** (1 / size_B)], high_B)
    return low_B, high_B


def difference(
    first_SN: np.ndarray,
    second_SN: np.ndarray,
    labels_N: np.ndarray,
    groups_N: np.ndarray,
    *,
    balanced: bool,
    confidence: float = 0.95,
) -> Interval | None:
    """Interval of the difference of two methods' accuracies, or balanced accuracies; None for a single group.

    Args:
        first_SN: right answers of the first method's seeds; in a single row, the shares of seeds that are
            right.
        second_SN: those of the second method, with the same seeds.
        labels_N: codes of the true classes.
        groups_N: codes.
        balanced: classes count the same.
        confidence: in (0, 1).
    """
    if groups_N.max() < 1:
        return None
    apart_SN = first_SN.astype(np.float64) - second_SN
    if (apart_SN == apart_SN[0]).all():  # seeds do not vary
        first_SN, second_SN, apart_SN = first_SN[:1], second_SN[:1], apart_SN[:1]
    values_SN, weights_N = apart_SN, np.ones(len(labels_N))
    if balanced:
        values_SN = _recalls(first_SN, labels_N) - _recalls(second_SN, labels_N)
        weights_N = _balancing(labels_N)
    low_B, high_B = difference_limits(
        values_SN[None], apart_SN[None], groups_N, weights_N, confidence=confidence
    )
    return Interval(float(low_B[0]), float(high_B[0]))


def _balancing(labels_N: np.ndarray) -> np.ndarray:
    """Weights `(N,)` by which all classes that occur count the same; their mean is 1."""
    counts_C = np.bincount(labels_N)
    return (len(labels_N) / np.count_nonzero(counts_C) / np.maximum(counts_C, 1))[labels_N]


def difference_limits(
    values_BSN: np.ndarray,
    apart_BSN: np.ndarray,
    groups_N: np.ndarray,
    weights_N: np.ndarray,
    *,
    confidence: float = 0.95,
) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper ends `(B,)` of the intervals of B paired differences.

    Bonett & Price (2012), Adjusted Wald confidence interval for a difference of binomial proportions based on
    paired data: an image more for which the first is right alone, and one for which the second is. With the
    effective number of images.

    Args:
        values_BSN: contributions, whose mean is the difference.
        apart_BSN: 1 where the first is right alone, -1 where the second is, else 0.
        groups_N: codes of at least two groups.
        weights_N: of an image in the metric.
        confidence: in (0, 1).
    """
    from scipy import stats

    mean_B = values_BSN.mean((1, 2))
    apart_B = np.maximum((np.abs(apart_BSN) * weights_N).mean((1, 2)), np.abs(mean_B))
    size_B = _size(values_BSN, apart_BSN != 0, groups_N, weights_N, apart_B - mean_B**2, confidence)
    centre_B = size_B * mean_B / (size_B + 2)
    variance_B = (size_B * apart_B + 2) / (size_B + 2) - centre_B**2
    half_B = stats.norm.ppf((1 + confidence) / 2) * np.sqrt(variance_B / (size_B + 2))
    return np.maximum(centre_B - half_B, -1), np.minimum(centre_B + half_B, 1)


def _size(
    values_BSN: np.ndarray,
    deviates_BSN: np.ndarray,
    groups_N: np.ndarray,
    weights_N: np.ndarray,
    variance_B: np.ndarray,
    confidence: float,
) -> np.ndarray:
    """Effective number of images `(B,)`."""
    order_N = np.argsort(groups_N, kind="stable")
    starts_G = np.flatnonzero(np.diff(groups_N[order_N], prepend=-1))
    sizes_G = np.diff(starts_G, append=len(groups_N))

    def summed(array: np.ndarray) -> np.ndarray:
        return np.add.reduceat(array[..., order_N], starts_G, axis=-1, dtype=np.float64)

    # of groups of different sizes the larger deviate more: around the metric, not around their own number
    metric_BS1 = values_BSN.mean(2, keepdims=True)
    table_BSG = summed(values_BSN - metric_BS1) * len(starts_G) / len(groups_N) + metric_BS1
    return effective_images(
        table_BSG,
        summed(deviates_BSN) / sizes_G,
        variance_B,
        most=values_BSN.shape[1] * _kish(weights_N),
        fewest=_kish(summed(weights_N)),
        confidence=confidence,
    )


def _kish(weights: np.ndarray) -> float:
    return float(weights.sum() ** 2 / np.square(weights).sum())


def _are_single(groups_N: np.ndarray) -> bool:
    return len(np.unique(groups_N)) == len(groups_N)


def interval_over_seeds(values_S: np.ndarray, *, confidence: float = 0.95) -> Interval | None:
    """Student's t interval of the mean of a metric between 0 and 1, over seeds with test images of their own.

    For seeds whose test images are not the same, or not known. None for fewer than three seeds, and for equal
    values, which say nothing of their spread.

    >>> interval_over_seeds(np.array([0.8, 0.8, 0.8])) is None
    True
    """
    if len(values_S) < FEWEST_SEEDS or values_S.min() == values_S.max():
        return None
    from scipy import stats

    half = stats.t.ppf((1 + confidence) / 2, len(values_S) - 1) * values_S.std(ddof=1) / len(values_S) ** 0.5
    mean, half = float(values_S.mean()), float(half)
    return Interval(max(mean - half, 0.0), min(mean + half, 1.0))
