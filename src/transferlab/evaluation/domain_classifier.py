"""A linear classifier that tells target from source: what the A-distance and importance weights rest on."""

from __future__ import annotations

import warnings

import numpy as np

from transferlab.run.randomness import derived_seed

NUM_FOLDS = 5
INVERSE_REGULARISATION = (1e-4, 1e-2, 1.0)  # scikit-learn's C, for features of unit variance
CERTAIN = 1e-6  # probabilities are kept this far from 0 and 1
MAX_ITERATIONS = 300


def target_probabilities(
    source_ND: np.ndarray, target_MD: np.ndarray, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Probability that a sample is of the target, as classifiers say that have not seen it.

    Logistic regression on standardised features, both domains weighing alike whatever their sizes, so that
    odds estimate the ratio of the densities. Cross-validation over five folds; of three strengths of the
    regularisation the one with the lowest cross-validated loss counts.

    Args:
        source_ND: features of N ≥ 2 samples.
        target_MD: features of M ≥ 2 samples.
        seed: of the folds.

    Returns:
        Arrays (N,) and (M,), in [1e-6, 1 - 1e-6].
    """
    from sklearn.model_selection import StratifiedKFold
    from sklearn.preprocessing import StandardScaler

    features = StandardScaler().fit_transform(np.concatenate([source_ND, target_MD]).astype(np.float64))
    is_target = np.repeat([False, True], [len(source_ND), len(target_MD)])
    num_folds = min(NUM_FOLDS, len(source_ND), len(target_MD))
    folds = StratifiedKFold(num_folds, shuffle=True, random_state=derived_seed("folds", seed) % 2**32)
    splits = list(folds.split(features, is_target))
    candidates = [_out_of_fold(features, is_target, splits, strength) for strength in INVERSE_REGULARISATION]
    best = min(candidates, key=lambda probabilities: _balanced_loss(probabilities, is_target))
    return best[~is_target], best[is_target]


def _out_of_fold(
    features: np.ndarray, is_target: np.ndarray, splits: list[tuple[np.ndarray, np.ndarray]], strength: float
) -> np.ndarray:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    probabilities = np.empty(len(features))
    for seen, unseen in splits:
        classifier = LogisticRegression(C=strength, class_weight="balanced", max_iter=MAX_ITERATIONS)
        with warnings.catch_warnings():
            # one that has not converged is a linear classifier still, and judged on samples it has not seen
            warnings.simplefilter("ignore", ConvergenceWarning)
            classifier.fit(features[seen], is_target[seen])
        probabilities[unseen] = classifier.predict_proba(features[unseen])[:, 1]
    return probabilities.clip(CERTAIN, 1.0 - CERTAIN)


def _balanced_loss(probabilities: np.ndarray, is_target: np.ndarray) -> float:
    of_source = -np.log1p(-probabilities[~is_target]).mean()
    of_target = -np.log(probabilities[is_target]).mean()
    return float(of_source + of_target) / 2.0
