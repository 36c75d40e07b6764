"""Warnings of a critic of the domains that did not do its work, by the recorded epochs.

Adaptation lives on a critic that is right about half the time because the features have become alike. One
that is always right has won: its gradient vanishes, or the features cannot follow. One that says the same
whatever it sees gives no direction either.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

from transferlab.strategy.parts import History

_PERFECT = 0.99  # accuracy on both domains
_ONE_SIDED = 0.98  # one domain's accuracy minus the other's
_NO_SPREAD = 1e-3  # standard deviation of the logits
_SHORTEST = 3  # epochs; fewer say nothing
_LONG = 1 / 3  # of the epochs that count
_WARM = 0.5  # of the largest lambda: before that a critic is meant to win


def critic_warnings(history: History) -> list[str]:
    """One sentence for each way in which the critic failed for long; none without a critic.

    Long: at least 3 epochs on end and a third of those in which lambda had reached half its largest value.
    """
    entries = [entry for entry in history if "train/critic_spread" in entry]
    largest = max((entry["train/lambda"] for entry in entries), default=0.0)
    warm = [entry for entry in entries if entry["train/lambda"] >= _WARM * largest]
    found = []
    for is_bad, text in _FAULTS:
        longest = max((len(list(run)) for bad, run in groupby(map(is_bad, warm)) if bad), default=0)
        if longest >= max(_SHORTEST, _LONG * len(warm)):
            found.append(text.format(epochs=longest))
    return found


def _is_perfect(entry: Mapping[str, float]) -> bool:
    return min(_accuracies(entry)) >= _PERFECT


def _is_constant(entry: Mapping[str, float]) -> bool:
    one_sided = max(_accuracies(entry)) - min(_accuracies(entry)) >= _ONE_SIDED
    return one_sided or entry["train/critic_spread"] <= _NO_SPREAD


def _accuracies(entry: Mapping[str, float]) -> tuple[float, float]:
    return entry["train/critic_accuracy_source"], entry["train/critic_accuracy_target"]


_FAULTS = (
    (
        _is_perfect,
        "The domain critic told source and target apart perfectly for {epochs} epochs on end: the features "
        "did not become alike. Raise strategy.objective.weight, lower "
        "strategy.learning_rates.objective_factor, or open more of the backbone (strategy/unfreezing=all).",
    ),
    (
        _is_constant,
        "The domain critic answered the same for every image for {epochs} epochs on end: it gave the "
        "features no direction. Raise strategy.learning_rates.objective_factor, or lower "
        "strategy.objective.weight.",
    ),
)
