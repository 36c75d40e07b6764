"""Figures of a classifier from its predictions: pure functions on arrays, computed by torchmetrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torchmetrics.functional import classification

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "loss")
IMBALANCED_RATIO = 5.0  # largest to smallest class, above which accuracy alone misleads


def metrics_in_order(class_counts_C: np.ndarray) -> tuple[str, ...]:
    """The names of the figures, those to look at first first: with imbalanced classes not the accuracy.

    >>> metrics_in_order(np.array([100, 10]))[:2]
    ('balanced_accuracy', 'macro_f1')
    """
    present = class_counts_C[class_counts_C > 0]
    if len(present) and present.max() > IMBALANCED_RATIO * present.min():
        return (
            "balanced_accuracy",
            "macro_f1",
            *[n for n in METRICS if n not in ("balanced_accuracy", "macro_f1")],
        )
    return METRICS


def classification_metrics(probabilities_NC: np.ndarray, labels_N: np.ndarray) -> dict[str, float | None]:
    """The figures of a part of the data.

    Args:
        probabilities_NC: predicted probability of each class, rows sum to one.
        labels_N: the true class codes, 0 to C - 1.

    Returns:
        `accuracy`, `balanced_accuracy` (mean recall of the classes that occur), `macro_f1` (mean F1 of the
        classes that occur or are predicted), `auroc` (mean one-against-rest over the classes that occur and
        are not alone; None where there is none), `loss` (mean negative log-probability of the true class,
        nats). All are None without samples.
    """
    if len(labels_N) == 0:
        return dict.fromkeys(METRICS)
    probabilities = torch.as_tensor(probabilities_NC, dtype=torch.float64)
    labels = torch.as_tensor(labels_N, dtype=torch.int64)
    num_classes = probabilities.shape[1]
    counts = torch.bincount(labels, minlength=num_classes)
    recall_C = classification.multiclass_recall(probabilities, labels, num_classes, average=None)
    true_class = probabilities.gather(1, labels[:, None]).clamp_min(1e-45)
    return {
        "accuracy": classification.multiclass_accuracy(
            probabilities, labels, num_classes, average="micro"
        ).item(),
        "balanced_accuracy": recall_C[counts > 0].mean().item(),
        "macro_f1": classification.multiclass_f1_score(
            probabilities, labels, num_classes, average="macro"
        ).item(),
        "auroc": _auroc(probabilities, labels, counts),
        "loss": -true_class.log().mean().item(),
    }


def per_class_metrics(
    probabilities_NC: np.ndarray, labels_N: np.ndarray, classes: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Precision, recall, F1 and number of samples of each class, by its name; 0 for 0 / 0."""
    if len(labels_N) == 0:
        return {name: {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0} for name in classes}
    probabilities = torch.as_tensor(probabilities_NC, dtype=torch.float64)
    labels = torch.as_tensor(labels_N, dtype=torch.int64)
    arguments = (probabilities, labels, len(classes))
    precision = classification.multiclass_precision(*arguments, average=None)
    recall = classification.multiclass_recall(*arguments, average=None)
    f1 = classification.multiclass_f1_score(*arguments, average=None)
    support = torch.bincount(labels, minlength=len(classes))
    return {
        name: {
            "precision": precision[code].item(),
            "recall": recall[code].item(),
            "f1": f1[code].item(),
            "support": int(support[code]),
        }
        for code, name in enumerate(classes)
    }


def confusion_matrix(probabilities_NC: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    """Counts `(C, C)`: rows are true classes, columns predicted ones."""
    predicted = torch.as_tensor(probabilities_NC)
    labels = torch.as_tensor(labels_N, dtype=torch.int64)
    return classification.multiclass_confusion_matrix(predicted, labels, predicted.shape[1]).numpy()


def _auroc(probabilities: torch.Tensor, labels: torch.Tensor, counts: torch.Tensor) -> float | None:
    scored = [code for code in range(len(counts)) if 0 < counts[code] < len(labels)]
    if not scored:
        return None
    values = [
        classification.binary_auroc(probabilities[:, code], (labels == code).long(), validate_args=False)
        for code in scored
    ]
    return torch.stack(values).mean().item()
