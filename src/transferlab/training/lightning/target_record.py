"""What a fit was worth on the target, epoch by epoch: labels joined when the fit is over.

Every way to select an epoch is scored on the same recorded predictions, so that a run shows side by side what
the last epoch gives, what was selected without target labels, and what labels could have selected.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from transferlab.data.splits import Splits
from transferlab.evaluation.metrics import METRICS, classification_metrics
from transferlab.evaluation.selection.criteria import CRITERIA, Evidence
from transferlab.strategy.parts import History
from transferlab.training.lightning.target_watch import evidence_split, read_epoch

# Computed from predictions alone; the others are known only where the run was selected by them
_FROM_PREDICTIONS = ("entropy", "information_maximisation", "snd", "oracle")


def epoch_table(folder: Path, splits: Splits, history: History) -> pd.DataFrame:
    """One row for each epoch that was validated: each criterion's score, and `test/...` metrics.

    Args:
        folder: with the recorded predictions.
        splits: whose target has labels.
        history: of the fit.
    """
    rows = []
    for entry in history:
        epoch = int(entry["epoch"])
        predicted = read_epoch(folder, epoch)
        if predicted is None or "test" not in predicted:
            continue
        probabilities_NC, test_rows_N = predicted["test"]
        labels_N = splits["test"].catalog.codes[test_rows_N]
        known = labels_N >= 0
        figures = classification_metrics(probabilities_NC[known], labels_N[known])
        rows.append(
            {
                "epoch": epoch,
                **_scores(entry, *predicted[evidence_split(splits).name], splits),
                **{f"test/{name}": value for name, value in figures.items()},
            }
        )
    return pd.DataFrame(rows)


def _scores(entry: Any, probabilities_MC: np.ndarray, rows_M: np.ndarray, splits: Splits) -> dict[str, float]:
    """The score of an epoch by every criterion that is known for it."""
    epoch = int(entry["epoch"])
    scores = {"last": float(epoch)}
    if "val/loss" in entry:
        scores["val_loss"] = entry["val/loss"]
    labels_M = evidence_split(splits).catalog.codes[rows_M]
    evidence = Evidence(epoch=epoch, target_probabilities_MC=probabilities_MC, target_labels_M=labels_M)
    scores |= {name: CRITERIA[name].score(evidence) for name in _FROM_PREDICTIONS}
    if "selection/dev" in entry:
        scores["dev"] = entry["selection/dev"]
    return scores


def selected_by_each(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """What each criterion selects: `{criterion: {"epoch", "accuracy", ...}}`, metrics of the test split.

    The oracle selects by labels of the target's validation split; a criterion without a finite score selects
    nothing.
    """
    selected = {}
    for name, criterion in CRITERIA.items():
        if name not in table or bool(table[name].isna().all()):
            continue
        row = table.iloc[criterion.best(table[name].to_list())]
        figures = {
            metric: float(row[f"test/{metric}"]) for metric in METRICS if not pd.isna(row[f"test/{metric}"])
        }
        selected[name] = {"epoch": int(row["epoch"]), **figures}
    return selected
