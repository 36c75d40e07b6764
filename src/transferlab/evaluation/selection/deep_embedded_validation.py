"""Deep embedded validation: the target's risk, from source samples weighted by how target-like they are.

You et al. (2019), Towards Accurate Model Selection in Deep Unsupervised Domain Adaptation, ICML.
"""

from __future__ import annotations

import numpy as np

from transferlab.evaluation.domain_classifier import target_probabilities
from transferlab.evaluation.selection.scores import log_losses


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
