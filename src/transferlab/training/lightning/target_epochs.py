"""The target, epoch by epoch: predictions without labels, written down; labels are joined after the fit.

Selection needs predictions while the fit goes on; labels are joined when it is over, so that none can reach
the training (`selection=oracle` alone uses them, as its name says). Every criterion is scored on the same
recorded predictions: a run shows side by side what the last epoch gives, what was selected without target
labels, and what labels could have selected.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import save

from transferlab.data.splits import Split, Splits
from transferlab.evaluation.metrics import METRICS, classification_metrics
from transferlab.evaluation.selection.criteria import CRITERIA, Evidence
from transferlab.run.cache import write_whole
from transferlab.run.errors import UserError
from transferlab.run.processes import is_worker
from transferlab.run.reading import parsing, read_arrays, unreadable
from transferlab.strategy.parts import History
from transferlab.strategy.strategy import Selection
from transferlab.training.lightning.outputs import Outputs

# Computed from predictions alone; the others are known only where the run was selected by them
_START_OVER = "delete the folder checkpoints of the run, and transferlab resume starts it over"
_FROM_PREDICTIONS = ("entropy", "information_maximisation", "snd", "oracle")


def evidence_split(splits: Splits) -> Split:
    """The target's split by which epochs are selected: one that is not trained on, where there is any."""
    candidates = [split for split in splits.values() if split.domain == "target" and not split.reported]
    return min(candidates, key=lambda split: (len(split) == 0, split.trained_on))


def watched_splits(splits: Splits, selection: Selection) -> list[str]:
    """The splits of the target that are predicted after each epoch; none where nothing could use them."""
    target = [split for split in splits.values() if split.domain == "target"]
    labelled = any(split.labelled for split in target)
    if not target or (not labelled and selection in ("last", "val_loss")):
        return []
    tested = [split.name for split in target if split.reported and split.labelled and len(split)]
    return [evidence_split(splits).name, *tested]


class TargetWatch:
    """Records an epoch's predictions for the target, and scores the epoch where the selection needs it.

    Args:
        splits: with a target.
        selection: by which an epoch is chosen.
        folder: where the predictions go, a file for each epoch; None: they are not written.

    Raises:
        UserError: selection by labels that the target lacks.
    """

    def __init__(self, splits: Splits, selection: Selection, folder: Path | None) -> None:
        self.criterion = CRITERIA[selection]
        self.splits = watched_splits(splits, selection)
        self.folder = folder
        evidence = evidence_split(splits)
        self._evidence = evidence.name
        self._labels_M: np.ndarray | None = None
        if self.criterion.uses_target_labels:
            if not evidence.labelled:
                raise UserError(
                    "strategy.selection=oracle: the target has no labelled validation split. "
                    "Choose another selection, or give the target labels and data.val_fraction above 0."
                )
            self._labels_M = evidence.catalog.codes

    @property
    def scores_epochs(self) -> bool:
        """True if the selection uses the target at all."""
        return self.criterion.name not in ("last", "val_loss")

    @property
    def needs_features(self) -> bool:
        """True if the selection uses features."""
        return "target_features_MD" in self.criterion.needs

    def record(self, epoch: int, outputs: Mapping[str, Outputs]) -> dict[str, float]:
        """Write down what was predicted; return the epoch's score by name, where the selection has one.

        Args:
            epoch: from 0.
            outputs: of the source's validation split, `val`, and of `splits`.
        """
        found = {split: outputs[split].gathered() for split in self.splits}
        if self.folder is not None and not is_worker():
            arrays = {
                name: np.ascontiguousarray(array)
                for split, (probabilities_MC, _, rows_M) in found.items()
                for name, array in (
                    (f"{split}/probabilities", probabilities_MC.astype(np.float32)),
                    (f"{split}/rows", rows_M),
                )
            }
            write_whole(self.folder / _file_name(epoch), save(arrays))
        if not self.scores_epochs:
            return {}
        probabilities_MC, _, rows_M = found[self._evidence]
        source_probabilities_NC, source_labels_N, _ = outputs["val"].gathered()
        evidence = Evidence(
            epoch=epoch,
            target_probabilities_MC=probabilities_MC,
            target_features_MD=outputs[self._evidence].gathered_features() if self.needs_features else None,
            source_probabilities_NC=source_probabilities_NC,
            source_features_ND=outputs["val"].gathered_features() if self.needs_features else None,
            source_labels_N=source_labels_N,
            target_labels_M=None if self._labels_M is None else self._labels_M[rows_M],
        )
        return {f"selection/{self.criterion.name}": self.criterion.score(evidence)}


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
        _require_rows(predicted, splits, folder / _file_name(epoch))
        probabilities_NC, test_rows_N = predicted["test"]
        labels_N = splits["test"].catalog.codes[test_rows_N]
        known = labels_N >= 0
        metrics = classification_metrics(probabilities_NC[known], labels_N[known])
        rows.append(
            {
                "epoch": epoch,
                **_scores(entry, *predicted[evidence_split(splits).name], splits),
                **{f"test/{name}": value for name, value in metrics.items()},
            }
        )
    return pd.DataFrame(rows)


def _require_rows(predicted: Mapping[str, tuple[np.ndarray, np.ndarray]], splits: Splits, file: Path) -> None:
    """Refuse a record that does not belong to these splits; raises `UnreadableFile`."""
    if evidence_split(splits).name not in predicted:
        raise unreadable(file, f"has no predictions for {evidence_split(splits).name}", _START_OVER)
    for name, (probabilities_MC, rows_M) in predicted.items():
        num_rows = len(splits[name]) if name in splits else 0
        fits = probabilities_MC.shape == (len(rows_M), len(splits.classes)) and rows_M.ndim == 1
        if not fits or rows_M.dtype.kind not in "iu" or not ((rows_M >= 0) & (rows_M < num_rows)).all():
            raise unreadable(file, f"its predictions are not of the split {name}", _START_OVER)
        if not np.isfinite(probabilities_MC).all():
            raise unreadable(file, f"its predictions for {name} are not finite", _START_OVER)


def _scores(
    entry: Mapping[str, float], probabilities_MC: np.ndarray, rows_M: np.ndarray, splits: Splits
) -> dict[str, float]:
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
    """Selection of each criterion: `{criterion: {"epoch", "accuracy", ...}}`, metrics of the test split.

    The oracle selects by labels of the target's validation split; a criterion without a finite score selects
    nothing.
    """
    selected = {}
    for name, criterion in CRITERIA.items():
        if name not in table or bool(table[name].isna().all()):
            continue
        row = table.iloc[criterion.best(table[name].to_list())]
        metrics = {
            metric: float(row[f"test/{metric}"]) for metric in METRICS if not pd.isna(row[f"test/{metric}"])
        }
        selected[name] = {"epoch": int(row["epoch"]), **metrics}
    return selected


def read_epoch(folder: Path, epoch: int) -> dict[str, tuple[np.ndarray, np.ndarray]] | None:
    """Probabilities (M, C) of each split and their rows (M,) in it; None if the epoch was not validated."""
    file = folder / _file_name(epoch)
    if not file.is_file():
        return None
    arrays = read_arrays(file)
    names = sorted({name.partition("/")[0] for name in arrays})
    with parsing(file, "record of an epoch's predictions"):
        return {name: (arrays[f"{name}/probabilities"], arrays[f"{name}/rows"]) for name in names}


def _file_name(epoch: int) -> str:
    return f"{epoch:04d}.safetensors"
