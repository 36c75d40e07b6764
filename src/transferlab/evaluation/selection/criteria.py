"""Model-selection criteria: name, score, and whether higher is better.

All but the oracle do without target labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from transferlab.evaluation.selection.scores import (
    deep_embedded_validation,
    mean_entropy,
    mutual_information,
    soft_neighbourhood_density,
    source_risk,
)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Evidence about an epoch's model; only what the criteria in use need must be given."""

    epoch: int  # its number
    # predictions for unlabelled target samples, rows sum to one
    target_probabilities_MC: np.ndarray | None = None
    target_features_MD: np.ndarray | None = None  # features of unlabelled target samples, these or others
    source_probabilities_NC: np.ndarray | None = None  # predictions for the source's validation samples
    source_features_ND: np.ndarray | None = None  # features of the same samples, in the same order
    source_labels_N: np.ndarray | None = None  # their class codes
    # class codes of the predicted target samples, -1 where unknown; the oracle's alone
    target_labels_M: np.ndarray | None = None


@dataclass(frozen=True)
class Criterion:
    """One way to score an epoch."""

    name: str  # as in the config
    higher_is_better: bool  # which way
    function: Callable[..., float]  # score of the fields of `Evidence` that `needs` names, in this order
    needs: tuple[str, ...]  # fields of `Evidence` that must be given
    meaning: str  # a line for people, with the source

    @property
    def uses_target_labels(self) -> bool:
        """True if it looks at what an adaptation must not know."""
        return "target_labels_M" in self.needs

    def score(self, evidence: Evidence) -> float:
        """The epoch's score; NaN where predictions or features are not finite, as after a divergence.

        Raises:
            ValueError: where a field that the criterion needs is not given.
        """
        given = {field: getattr(evidence, field) for field in self.needs}
        missing = [field for field, value in given.items() if value is None]
        if missing:
            raise ValueError(f"selection={self.name} needs {', '.join(missing)}.")
        if not all(np.isfinite(value).all() for value in given.values()):
            return math.nan
        return self.function(*given.values())

    def best(self, scores: Sequence[float]) -> int:
        """Place of the best score, the first of equals; NaN is never best.

        Raises:
            ValueError: where there is no score but NaN.
        """
        values = np.asarray(scores, dtype=np.float64)
        if np.isnan(values).all():
            raise ValueError(f"selection={self.name}: none of {len(values)} epochs has a finite score.")
        return int(np.nanargmax(values) if self.higher_is_better else np.nanargmin(values))


def target_accuracy(probabilities_MC: np.ndarray, labels_M: np.ndarray) -> float:
    """Part of the samples of known class, code ≥ 0, whose most probable class is the true one; NaN without
    any.
    """
    known = labels_M >= 0
    if not known.any():
        return math.nan
    return float((probabilities_MC[known].argmax(1) == labels_M[known]).mean())


SOURCE = ("source_probabilities_NC", "source_labels_N")
SOURCE_AND_FEATURES = (*SOURCE, "source_features_ND", "target_features_MD")
TARGET = ("target_probabilities_MC",)
TARGET_AND_LABELS = (*TARGET, "target_labels_M")

SND_CAUTION = "it picked the first epoch in 4 of 4 runs with two domains; look at the epoch that it selected"
ORACLE_CAUTION = (
    "chosen on labels of the target's validation split: an upper bound that can lose (on test it did in 12 "
    "of 72 runs)"
)

CRITERIA = {
    name: Criterion(name, higher_is_better, function, needs, meaning)
    for name, higher_is_better, function, needs, meaning in (
        ("last", True, float, ("epoch",), "the last epoch"),
        ("val_loss", False, source_risk, SOURCE, "loss on the source's validation samples"),
        (
            "entropy",
            False,
            mean_entropy,
            TARGET,
            "mean entropy of the target's predictions (Morerio et al. 2018)",
        ),
        (
            "information_maximisation",
            True,
            mutual_information,
            TARGET,
            "mutual information of target samples and predicted classes (Shi & Sha 2012)",
        ),
        ("snd", True, soft_neighbourhood_density, TARGET, "soft neighbourhood density (Saito et al. 2021)"),
        (
            "dev",
            False,
            deep_embedded_validation,
            SOURCE_AND_FEATURES,
            "deep embedded validation: source loss, weighted by likeness to the target (You et al. 2019)",
        ),
        (
            "oracle",
            True,
            target_accuracy,
            TARGET_AND_LABELS,
            "accuracy on labels of the target's validation split: an upper bound that can lose on test",
        ),
    )
}
