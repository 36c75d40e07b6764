"""How sure and how varied a model's predictions are; no labels."""

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
