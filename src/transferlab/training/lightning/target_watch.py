"""What a fit sees of the target after each epoch: predictions without labels, written down.

Selection needs them while the fit goes on; labels are joined when it is over (`target_record`), so that none
can reach the training. `selection=oracle` alone is shown labels, as its name says.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save

from transferlab.data.splits import Split, Splits
from transferlab.evaluation.selection.criteria import CRITERIA, Evidence
from transferlab.run.cache import write_whole
from transferlab.run.errors import UserError
from transferlab.run.processes import is_worker
from transferlab.strategy.strategy import Selection
from transferlab.training.lightning.outputs import Outputs


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
    tested = [split.name for split in target if split.reported and len(split)]
    return [evidence_split(splits).name, *tested]


class TargetWatch:
    """Records an epoch's predictions for the target, and scores the epoch if the selection asks for it.

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
        """Whether the selection looks at the target at all."""
        return self.criterion.name not in ("last", "val_loss")

    @property
    def needs_features(self) -> bool:
        """Whether the selection looks at features."""
        return "target_features_MD" in self.criterion.needs

    def recorded(self, epoch: int, outputs: Mapping[str, Outputs]) -> dict[str, float]:
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


def read_epoch(folder: Path, epoch: int) -> dict[str, tuple[np.ndarray, np.ndarray]] | None:
    """Probabilities (M, C) of each split and their rows (M,) in it; None if the epoch was not validated."""
    file = folder / _file_name(epoch)
    if not file.is_file():
        return None
    arrays = load_file(file)
    names = sorted({name.partition("/")[0] for name in arrays})
    return {name: (arrays[f"{name}/probabilities"], arrays[f"{name}/rows"]) for name in names}


def _file_name(epoch: int) -> str:
    return f"{epoch:04d}.safetensors"
