"""What a method makes of each test sample, from the predictions of its runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from transferlab.evaluation.comparison.grouping import Recorded, Repetition


@dataclass(frozen=True)
class Hits:
    """The labelled test samples of one repetition or of several, in the order of their names.

    Attributes:
        samples_N: names.
        labels_N: names of the true classes.
        right_N: the share of repetitions that predict the true class.
    """

    samples_N: np.ndarray
    labels_N: np.ndarray
    right_N: np.ndarray

    def has_the_samples_of(self, other: Hits) -> bool:
        """Whether the samples and their labels are the same."""
        return np.array_equal(self.samples_N, other.samples_N) and np.array_equal(
            self.labels_N, other.labels_N
        )


def hits_of(repetitions: Sequence[Repetition]) -> Hits | None:
    """Test samples and how often they are predicted rightly; None if repetitions do not share them."""
    each = [_hits(repetition) for repetition in repetitions]
    first = each[0] if each else None
    if first is None or len(first.samples_N) == 0:
        return None
    right = []
    for other in each:
        if other is None or not other.has_the_samples_of(first):
            return None
        right.append(other.right_N)
    return Hits(first.samples_N, first.labels_N, np.mean(right, axis=0))


def confusion_of(repetition: Repetition) -> np.ndarray | None:
    """Confusion matrix `(C, C)` over the classes that occur or are predicted; None without test samples."""
    table = _table(repetition.runs)
    if table is None or table.empty:
        return None
    both = pd.concat([table["label"], table["predicted"]])
    codes, classes = pd.factorize(both, sort=True)
    cells_N = codes[: len(table)] * len(classes) + codes[len(table) :]
    return np.bincount(cells_N, minlength=len(classes) ** 2).reshape(len(classes), len(classes))


def _hits(repetition: Repetition) -> Hits | None:
    table = _table(repetition.runs)
    if table is None:
        return None
    right_N = (table["label"] == table["predicted"]).to_numpy(dtype=np.float64)
    return Hits(table["sample"].to_numpy(dtype=object), table["label"].to_numpy(dtype=object), right_N)


def _table(runs: Sequence[Recorded]) -> pd.DataFrame | None:
    """`sample`, `label` and `predicted` of the labelled test samples of a run, or of all folds of one."""
    files = [run.path / "predictions" / "test.csv" for run in runs]
    if not all(file.is_file() for file in files):
        return None
    columns = ["sample", "label", "predicted"]
    tables = [pd.read_csv(file, usecols=columns, dtype=str, keep_default_na=False) for file in files]
    whole = pd.concat(tables)
    return whole[whole["label"] != ""].sort_values("sample", kind="stable", ignore_index=True)
