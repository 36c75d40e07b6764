"""Weights of classes against imbalance."""

from __future__ import annotations

from typing import Literal

import torch

from transferlab.evaluation.metrics import IMBALANCED_RATIO

ClassWeights = Literal["auto", "balanced", "none"]


def balanced_weights(class_counts_C: torch.Tensor) -> torch.Tensor:
    """Weights inverse to the number of samples, 1 on average over the samples: N / (C n_c).

    A class without samples gets weight 0. King & Zeng, Logistic regression in rare events data, 2001.

    >>> balanced_weights(torch.tensor([30, 10])).tolist()
    [0.6666666865348816, 2.0]
    """
    counts = class_counts_C.float()
    present = counts > 0
    weights = counts.sum() / (present.sum() * counts.clamp_min(1))
    return torch.where(present, weights, torch.zeros_like(weights))


def imbalance_ratio(class_counts_C: torch.Tensor) -> float:
    """Samples of the largest class for one of the smallest that has any."""
    counts = class_counts_C[class_counts_C > 0]
    return (counts.max() / counts.min()).item()


def choose_weights(rule: ClassWeights, class_counts_C: torch.Tensor) -> tuple[torch.Tensor | None, list[str]]:
    """The weights that a rule gives, and what the user should know about the choice.

    `balanced` weights always, `auto` where the largest class has more than five times the samples of the
    smallest, `none` never.
    """
    ratio = imbalance_ratio(class_counts_C)
    if rule == "balanced":
        return balanced_weights(class_counts_C), []
    if rule == "auto" and ratio > IMBALANCED_RATIO:
        note = (
            f"the largest class has {ratio:.1f} times the samples of the smallest, so classes are weighted "
            "by 1 / their size (strategy.objective.class_weights=none turns it off)."
        )
        return balanced_weights(class_counts_C), [note]
    return None, []
