"""Proxy A-distance: how well a linear classifier separates the domains.

Ben-David et al. (2007), Analysis of Representations for Domain Adaptation; as a measure of deep features in
Ganin et al. (2016), Domain-Adversarial Training of Neural Networks, section 5.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transferlab.evaluation.domain_classifier import target_probabilities
from transferlab.evaluation.gap.feature_samples import sampled_rows


@dataclass(frozen=True)
class ADistance:
    """The separability of two domains by a linear classifier."""

    value: float  # in [0, 2]; 0 where it does no better than chance, 2 where it makes no mistake
    standard_error: float  # of `value`, from the numbers of samples; 0 where no mistake was made


def proxy_a_distance(
    source_ND: np.ndarray, target_MD: np.ndarray, *, seed: int, max_samples: int = 2000
) -> ADistance:
    """`2 (1 - 2 ε)`, where ε is the cross-validated error of a linear classifier, the mean of both domains'
    error rates, so that unequal numbers of samples do no harm.

    An ε above one half, chance's doing, counts as one half: the distance is clipped to [0, 2]. What a linear
    classifier cannot see, such as another spread about the same mean, leaves it at 0; the MMD does see it.

    Args:
        source_ND: features of N samples.
        target_MD: features of M samples.
        seed: of the sample and of the folds.
        max_samples: cap for each domain.
    """
    source = source_ND[sampled_rows(len(source_ND), max_samples, seed=seed, what="source")]
    target = target_MD[sampled_rows(len(target_MD), max_samples, seed=seed, what="target")]
    source_says, target_says = target_probabilities(source, target, seed=seed)
    wrong_on_source = float((source_says >= 0.5).mean())
    wrong_on_target = float((target_says < 0.5).mean())
    error = (wrong_on_source + wrong_on_target) / 2.0
    variance = (
        wrong_on_source * (1.0 - wrong_on_source) / len(source)
        + wrong_on_target * (1.0 - wrong_on_target) / len(target)
    ) / 4.0
    return ADistance(float(np.clip(2.0 * (1.0 - 2.0 * error), 0.0, 2.0)), 4.0 * float(np.sqrt(variance)))
