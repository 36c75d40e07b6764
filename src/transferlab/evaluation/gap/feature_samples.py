"""Checks of two domains' features, and a capped sample of them."""

from __future__ import annotations

import numpy as np

from transferlab.run.randomness import derived_seed

MIN_SAMPLES = 4  # of each domain: two folds, two halves, a variance


def check_two_domains(source_ND: np.ndarray, target_MD: np.ndarray) -> None:
    """Raise a ValueError unless both are finite tables of at least four samples over the same features."""
    for name, features in (("source", source_ND), ("target", target_MD)):
        if features.ndim != 2 or features.shape[1] == 0:
            raise ValueError(
                f"The {name} features must be a table (samples, features); got {features.shape}."
            )
        if len(features) < MIN_SAMPLES:
            raise ValueError(
                f"A gap needs at least {MIN_SAMPLES} samples of each domain; the {name} has {len(features)}."
            )
        if not np.isfinite(features).all():
            rows = (~np.isfinite(features)).any(1).sum()
            raise ValueError(f"The features of {rows} {name} samples are NaN or infinite.")
    if source_ND.shape[1] != target_MD.shape[1]:
        raise ValueError(
            f"The source has {source_ND.shape[1]} features a sample and the target {target_MD.shape[1]}; "
            "take both from one network."
        )


def sampled_rows(num_rows: int, max_samples: int, *, seed: int, what: str) -> np.ndarray:
    """Sorted row numbers: all of them where they are at most `max_samples`, else a sample without
    replacement that depends only on `(seed, what, num_rows)`.

    >>> sampled_rows(3, 5, seed=0, what="source").tolist()
    [0, 1, 2]
    """
    if num_rows <= max_samples:
        return np.arange(num_rows)
    generator = np.random.default_rng(derived_seed("sampled rows", what, num_rows, seed))
    return np.sort(generator.choice(num_rows, max_samples, replace=False))
