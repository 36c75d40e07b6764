"""Fewer labels on purpose: nested subsets of a training split."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from transferlab.run.randomness import derived_seed


def nested_subset(
    table: pd.DataFrame, *, fraction: float | None, shots_per_class: int | None, seed: int
) -> np.ndarray:
    """Which rows stay, as booleans.

    Each class is taken in an order that depends on (seed, sample) alone, so a smaller subset lies inside
    every larger one, and the k shots of a class are the first k of its fraction.

    Args:
        table: a training split with sample and label.
        fraction: share of each class to keep, in (0, 1]; at least one image stays.
        shots_per_class: images of each class to keep; a smaller class stays whole.
        seed: another seed, another choice.
    """
    order = np.array([derived_seed("subset", seed, sample) for sample in table["sample"]], dtype=np.int64)
    keep = np.zeros(len(table), dtype=bool)
    for _, rows in table.groupby("label", dropna=False).indices.items():
        limit = len(rows) if shots_per_class is None else shots_per_class
        if fraction is not None:
            limit = max(1, math.ceil(fraction * len(rows) - 1e-9))
        keep[rows[np.argsort(order[rows], kind="stable")[:limit]]] = True
    return keep
