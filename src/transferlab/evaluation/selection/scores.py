"""Scores of an epoch without labels: entropy, information maximisation, neighbourhoods; the source's risk.

Soft neighbourhood density: Saito et al. (2021), Tune It the Right Way: Unsupervised Validation of Domain
Adaptation via Soft Neighborhood Density.
"""

from __future__ import annotations

import numpy as np


def mean_entropy(probabilities_MC: np.ndarray) -> float:
    """Mean entropy of the predictions in nats, 0 (certain of each sample) to log C; lower is better.

    Morerio et al. (2018), Minimal-Entropy Correlation Alignment for Unsupervised Deep Domain Adaptation. A
    model that calls every sample the same class reaches 0, too.

    >>> mean_entropy(np.array([[1.0, 0.0], [0.0, 1.0]]))
    0.0
    """
    return float(_entropy(probabilities_MC.astype(np.float64)).mean())


def mutual_information(probabilities_MC: np.ndarray) -> float:
    """Entropy of the mean prediction less the mean entropy in nats, 0 to log C; higher is better.

    What a sample tells about its class: much if each prediction is sure and the classes are varied. Shi & Sha
    (2012), Information-Theoretical Learning of Discriminative Clusters for Unsupervised Domain Adaptation; as
    a validator, Musgrave et al. (2022), Three New Validators and a Large-Scale Benchmark Ranking for
    Unsupervised Domain Adaptation. It favours classes of equal size.
    """
    probabilities = probabilities_MC.astype(np.float64)
    return float(_entropy(probabilities.mean(0)) - _entropy(probabilities).mean())


def _entropy(probabilities: np.ndarray) -> np.ndarray:
    """Nats, over the last axis; 0 log 0 is 0."""
    logarithms = np.log(probabilities, out=np.zeros_like(probabilities), where=probabilities > 0)
    return 0.0 - (probabilities * logarithms).sum(-1)


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


TEMPERATURE = 0.05  # the paper's
ROWS_AT_ONCE = 512
MOST_SAMPLES = 5000


def soft_neighbourhood_density(
    probabilities_MC: np.ndarray, *, temperature: float = TEMPERATURE, most_samples: int = MOST_SAMPLES
) -> float:
    """Mean entropy of a sample's similarity to the others in nats, 0 to log(M - 1); higher is better.

    The similarity of two samples is the cosine of their predicted probabilities; divided by the temperature
    and passed through a softmax over all other samples. Dense, large clusters of like
    predictions score high. A model that calls every sample the same class scores highest of all, and the
    figure grows with M: it compares epochs or settings on one set of samples, of models that have learnt the
    source.

    Time grows with M², so of very many samples some are taken, evenly spread; memory grows with M.

    Args:
        probabilities_MC: predictions of M ≥ 2 samples.
        temperature: above 0.
        most_samples: at least 2.
    """
    if len(probabilities_MC) < 2:
        raise ValueError("The density of a neighbourhood needs at least 2 samples.")
    every = -(-len(probabilities_MC) // most_samples)
    directions = probabilities_MC[::every].astype(np.float64)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    total = 0.0
    for start in range(0, len(directions), ROWS_AT_ONCE):
        rows = directions[start : start + ROWS_AT_ONCE]
        logits = rows @ directions.T / temperature
        itself = (np.arange(len(rows)), start + np.arange(len(rows)))
        logits[itself] = -np.inf
        logits -= logits.max(1, keepdims=True)
        weights = np.exp(logits)
        logits[itself] = 0.0  # its weight is 0, and 0 times infinity is not
        sums = weights.sum(1)
        total += float((np.log(sums) - (weights * logits).sum(1) / sums).sum())
    return total / len(directions)
