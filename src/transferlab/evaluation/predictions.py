"""The predictions table: the record from which every metric, plot and comparison is derived."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from transferlab.run.reading import read_csv, unreadable
from transferlab.run.run_folder import write_atomically

_TEXTS = ["sample", "label", "predicted"]
# what pandas does by itself from 3.1 on, where asking for it is a warning
_IS_EXACT = tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1)
_TO_THE_LAST_BIT = {} if _IS_EXACT else {"float_precision": "round_trip"}


@dataclass(frozen=True)
class Predictions:
    """A model's predictions for the samples of a split."""

    samples: Sequence[str]  # their names, N of them
    labels_N: np.ndarray  # true class codes; -1 where unknown
    probabilities_NC: np.ndarray  # predicted probability of each class
    classes: tuple[str, ...]  # the names of the C classes

    def __post_init__(self) -> None:
        assert "" not in self.classes, "the empty name stands for an unknown label"

    def table(self) -> pd.DataFrame:
        """One row a sample: sample, label, predicted, and a probability column `p(CLASS)` for each class."""
        names = np.array([*self.classes, ""], dtype=object)  # code -1, unknown, is the empty name
        table = pd.DataFrame(
            {
                "sample": list(self.samples),
                "label": names[self.labels_N],
                "predicted": names[self.probabilities_NC.argmax(1)],
            }
        )
        columns = pd.DataFrame(self.probabilities_NC, columns=[f"p({name})" for name in self.classes])
        return pd.concat([table, columns], axis=1)

    def write(self, file: Path) -> None:
        """Write the table as CSV, at once; `read` gives back the very same probabilities."""
        write_atomically(file, self.table().to_csv(index=False))

    @classmethod
    def read(cls, file: Path) -> Predictions:
        """Read what `write` wrote.

        Raises:
            UnreadableFile: it cannot be read, or is no such table.
        """
        kinds = defaultdict(lambda: "float64", dict.fromkeys(_TEXTS, "str"))  # "0007" stays "0007"
        table = read_csv(file, _TEXTS, dtype=kinds, keep_default_na=False, **_TO_THE_LAST_BIT)
        columns = list(table.columns[3:])
        if [*table.columns[:3]] != _TEXTS or not _are_probabilities(columns):
            raise unreadable(file, "its columns are not sample, label, predicted and p(CLASS) of each class")
        classes = tuple(name[len("p(") : -len(")")] for name in columns)
        codes = {name: code for code, name in enumerate(classes)}
        labels_N = table["label"].map(codes).fillna(-1).to_numpy(dtype=np.int64)
        probabilities_NC = table[columns].to_numpy(dtype=np.float64)
        if not ((probabilities_NC >= 0) & (probabilities_NC <= 1.001)).all():
            raise unreadable(file, "holds probabilities that are not between 0 and 1")
        return cls(tuple(table["sample"]), labels_N, probabilities_NC, classes)


def _are_probabilities(columns: Sequence[str]) -> bool:
    """True if each of these columns is called `p(CLASS)`, and there is one."""
    return bool(columns) and all(len(name) > 3 and name[:2] == "p(" and name[-1] == ")" for name in columns)
