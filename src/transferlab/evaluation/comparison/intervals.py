"""Bootstrap intervals of a metric: over seeds, or over the test samples of a single run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FEWEST_SEEDS = 3
_DRAWS_OF_SEEDS = 9999
_DRAWS_OF_SAMPLES = 2000
_NUMBERS_AT_ONCE = 2**22


@dataclass(frozen=True)
class Interval:
    """A confidence interval, both ends included."""

    low: float
    high: float


def interval_over_seeds(values_S: np.ndarray, *, confidence: float = 0.95) -> Interval | None:
    """Percentile bootstrap interval of the mean over seeds (Efron 1979); None for fewer than three.

    What other seeds would give, on the same test samples. Few values know little of their own spread: of
    nominal 95 % intervals about 75 % hold the true mean with 3 seeds, 85 % with 5, 90 % with 10 and 94 % with
    20 (normal values, simulated; BCa intervals do no better so far down). With two seeds the interval would
    reach from the one value to the other and hold the mean half of the time, so none is given.

    Args:
        values_S: finite, one for each seed.
        confidence: in (0, 1).

    >>> interval_over_seeds(np.array([0.8, 0.8, 0.8]))
    Interval(low=0.8, high=0.8)
    """
    if len(values_S) < FEWEST_SEEDS:
        return None
    if values_S.min() == values_S.max():
        return Interval(float(values_S[0]), float(values_S[0]))
    from scipy import stats

    found = stats.bootstrap(
        (values_S,),
        np.mean,
        n_resamples=_DRAWS_OF_SEEDS,
        confidence_level=confidence,
        method="percentile",
        random_state=np.random.default_rng(0),
    ).confidence_interval
    return Interval(float(found.low), float(found.high))


def intervals_over_samples(confusion_CC: np.ndarray, *, confidence: float = 0.95) -> dict[str, Interval]:
    """Percentile bootstrap intervals over test samples of `accuracy`, `balanced_accuracy` and `macro_f1`.

    What the same model would give on other samples of the same population; nothing of how other seeds
    would train. To draw samples with replacement is to draw the cells of the confusion matrix from a
    multinomial distribution, as these metrics depend on nothing else.

    Args:
        confusion_CC: counts; rows are true classes, columns predicted ones. At least one sample.
        confidence: in (0, 1).
    """
    true_K, predicted_K = np.nonzero(confusion_CC)
    counts_K = confusion_CC[true_K, predicted_K]
    generator = np.random.default_rng(0)
    at_once = max(1, min(_DRAWS_OF_SAMPLES, _NUMBERS_AT_ONCE // len(counts_K)))
    drawn: dict[str, list[np.ndarray]] = {}
    for start in range(0, _DRAWS_OF_SAMPLES, at_once):
        size = min(at_once, _DRAWS_OF_SAMPLES - start)
        draws_RK = generator.multinomial(counts_K.sum(), counts_K / counts_K.sum(), size=size)
        for name, values_R in _figures(draws_RK, true_K, predicted_K, len(confusion_CC)).items():
            drawn.setdefault(name, []).append(values_R)
    tail = (1 - confidence) / 2
    ends = {
        name: np.quantile(np.concatenate(values), [tail, 1 - tail]).tolist() for name, values in drawn.items()
    }
    return {name: Interval(low, high) for name, (low, high) in ends.items()}


def _figures(
    counts_RK: np.ndarray, true_K: np.ndarray, predicted_K: np.ndarray, num_classes: int
) -> dict[str, np.ndarray]:
    """The metrics of R confusion matrices, each given by its counts in K cells; as `evaluation.metrics`."""
    is_true_KC = np.equal.outer(true_K, np.arange(num_classes)).astype(np.float64)
    is_predicted_KC = np.equal.outer(predicted_K, np.arange(num_classes)).astype(np.float64)
    hits_RC = counts_RK @ (is_true_KC * is_predicted_KC)
    support_RC, predicted_RC = counts_RK @ is_true_KC, counts_RK @ is_predicted_KC
    occurs_RC, counted_RC = support_RC > 0, support_RC + predicted_RC > 0
    recall_RC = hits_RC / np.maximum(support_RC, 1)
    f1_RC = 2 * hits_RC / np.maximum(support_RC + predicted_RC, 1)
    return {
        "accuracy": hits_RC.sum(1) / counts_RK.sum(1),
        "balanced_accuracy": recall_RC.sum(1) / occurs_RC.sum(1),
        "macro_f1": f1_RC.sum(1) / counted_RC.sum(1),
    }
