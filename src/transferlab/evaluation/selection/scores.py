"""Scores of an epoch without the target's labels: of its own predictions, or of the weighted source.

Soft neighbourhood density: Saito et al. (2021), Tune It the Right Way: Unsupervised Validation of Domain
Adaptation via Soft Neighborhood Density. Deep embedded validation: You et al. (2019), Towards Accurate Model
Selection in Deep Unsupervised Domain Adaptation, ICML.
"""

from __future__ import annotations

import numpy as np

from transferlab.evaluation.domain_classifier import target_probabilities


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


def deep_embedded_validation(
    source_probabilities_NC: np.ndarray,
    source_labels_N: np.ndarray,
    source_features_ND: np.ndarray,
    target_features_MD: np.ndarray,
    *,
    seed: int = 0,
) -> float:
    """Estimated mean negative log-probability on the target in nats; lower is better.

    Where the target's features are not found in the source, a few samples carry all the weight, and the
    estimate is worth little.

    Args:
        source_probabilities_NC: predictions for the source's N validation samples.
        source_labels_N: their class codes.
        source_features_ND: their features.
        target_features_MD: features of M unlabelled target samples, from the same network.
        seed: of the folds; one for all epochs that are compared.
    """
    weights_N = importance_weights(source_features_ND, target_features_MD, seed=seed)
    return weighted_risk(log_losses(source_probabilities_NC, source_labels_N), weights_N)


def importance_weights(source_ND: np.ndarray, target_MD: np.ndarray, *, seed: int) -> np.ndarray:
    """Ratio of the target's to the source's density at each source sample, shape (N,), above 0; mean about 1.

    They are the odds of a domain classifier on the features. The paper trains it on the source's training
    samples and weights the validation samples with it; here it is cross-validated on the validation samples
    themselves, so each weight comes from a classifier that has not seen the sample, and no pass over the
    training data is needed.

    Args:
        source_ND: features of N ≥ 2 source samples.
        target_MD: features of M ≥ 2 target samples.
        seed: of the folds.
    """
    target_N, _ = target_probabilities(source_ND, target_MD, seed=seed)
    return target_N / (1.0 - target_N)  # the classifier weighs both domains alike: no N / M


def weighted_risk(losses_N: np.ndarray, weights_N: np.ndarray) -> float:
    """Mean weighted loss with the control variate that lowers its variance; lower is better.

    `mean(w l) + η mean(w) - η` with `η = -Cov(w l, w) / Var(w)`; weights that are all alike leave the mean.
    In units of the loss; the estimate of a small risk may fall below 0.

    Args:
        losses_N: loss of each source validation sample.
        weights_N: its importance weight.
    """
    weighted_N = weights_N * losses_N
    deviations_N = weights_N - weights_N.mean()
    variance = np.square(deviations_N).mean()
    eta = -(deviations_N * weighted_N).mean() / variance if variance > 0.0 else 0.0
    return float(weighted_N.mean() + eta * weights_N.mean() - eta)
