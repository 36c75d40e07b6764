"""The risk on the source's validation samples: what supervised training is selected by."""

from __future__ import annotations

import numpy as np

SMALLEST_PROBABILITY = 1e-45  # as in the loss of evaluation.metrics: certain and wrong stays finite


def source_risk(probabilities_NC: np.ndarray, labels_N: np.ndarray) -> float:
    """Mean negative log-probability of the true class in nats, at least 0; lower is better.

    It says nothing of the target: adaptation that ruins the target may leave it alone.
    """
    return float(log_losses(probabilities_NC, labels_N).mean())


def log_losses(probabilities_NC: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    """Negative log-probability of each sample's true class in nats, shape (N,)."""
    of_true_N = probabilities_NC[np.arange(len(labels_N)), labels_N].astype(np.float64)
    return -np.log(np.maximum(of_true_N, SMALLEST_PROBABILITY))
