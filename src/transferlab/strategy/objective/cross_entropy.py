"""Cross-entropy on labelled samples; with two domains, on the source's alone (the source-only baseline).

Label smoothing: Szegedy et al., Rethinking the Inception architecture, CVPR 2016, section 7.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch.nn import functional

from transferlab.config.bounds import Share
from transferlab.evaluation.metrics import IMBALANCED_RATIO
from transferlab.model.classifier import Classifier
from transferlab.strategy.parts import Batch, Facts, Losses, Objective

ClassWeights = Literal["auto", "balanced", "none"]


def labelled_loss(
    logits_NC: torch.Tensor,
    batch: Batch,
    *,
    label_smoothing: float = 0.0,
    class_weights_C: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean cross-entropy of a batch in fp32, weighted by class where weights are given.

    Where mixup or CutMix has mixed the images, the targets are their `label_probabilities` (N, C).
    """
    targets = batch.get("label_probabilities", batch["label"])
    return functional.cross_entropy(
        logits_NC.float(), targets, weight=class_weights_C, label_smoothing=label_smoothing
    )


def accuracy(logits_NC: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Share of the batch whose highest score is the label's."""
    return (logits_NC.argmax(1) == batch["label"]).float().mean()


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


class CrossEntropy(Objective):
    """Cross-entropy, with `label_smoothing` of the probability spread over all classes.

    `class_weights`: `none`, `balanced` (inverse to the classes' sizes), or `auto`, which balances where the
    largest class has more than five times the samples of the smallest, and says so.
    """

    solvers: ClassVar[tuple[str, ...]] = ("gradient", "lbfgs")

    def __init__(self, *, label_smoothing: Share = 0.0, class_weights: ClassWeights = "auto") -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        self.class_weights = class_weights
        self.weights_C: torch.Tensor | None
        self.register_buffer("weights_C", None, persistent=False)

    def prepare(self, facts: Facts) -> None:
        """See `Part`."""
        weights_C, self.notes = choose_weights(self.class_weights, facts.class_counts_C)
        self.weights_C = weights_C

    def losses(self, network: Classifier, batch: Batch, progress: float) -> Losses:
        """See `Objective`."""
        logits_NC = network(batch["input"])
        loss = labelled_loss(
            logits_NC, batch, label_smoothing=self.label_smoothing, class_weights_C=self.weights_C
        )
        return Losses({"class_loss": loss}, {"accuracy": accuracy(logits_NC, batch)})
