"""Soft neighbourhood density: whether target samples have many close neighbours; no labels.

Saito et al. (2021), Tune It the Right Way: Unsupervised Validation of Domain Adaptation via Soft Neighborhood
Density.
"""

from __future__ import annotations

import numpy as np

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
