"""Answers of trained models to test images, read from predictions/SPLIT.csv, with groups from split.csv."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from transferlab.evaluation.comparison.grouping import Repetition
from transferlab.run.reading import read_csv, unreadable

_COLUMNS = ["sample", "label", "predicted"]

Tables = dict[tuple[Path, str], pd.DataFrame | None]
"""Tables of a run's folder and a split, so that none is read twice; None: the run has none."""


@dataclass(frozen=True)
class Answers:
    """The labelled images of a split and what S trained models predict for them, images in order of name."""

    samples_N: np.ndarray  # names
    labels_N: np.ndarray  # codes of the true classes
    guesses_SN: np.ndarray  # codes of the predicted ones
    groups_N: np.ndarray  # codes; an image without a group is one of its own
    classes: tuple[str, ...]  # the names of the codes

    @classmethod
    def of(
        cls, labels: Sequence[int], guesses: Sequence[Sequence[int]], groups: Sequence[Any] | None = None
    ) -> Answers:
        """Answers from codes; images without names, and of a group of their own where it is empty.

        >>> Answers.of(labels=[0, 1, 1], guesses=[[0, 1, 0], [0, 1, 1]], groups="aab").num_groups
        2
        """
        labels_N, guesses_SN = np.asarray(labels), np.asarray(guesses)
        size = len(labels_N)
        names_N = pd.Series([""] * size if groups is None else list(groups), dtype=object).fillna("")
        num_classes = int(max(labels_N.max(initial=0), guesses_SN.max(initial=0))) + 1
        classes = tuple(map(str, range(num_classes)))
        samples_N = np.arange(size).astype(str).astype(object)
        return cls(samples_N, labels_N, guesses_SN, _group_codes(names_N.astype(str)), classes)

    @property
    def num_seeds(self) -> int:
        return len(self.guesses_SN)

    @property
    def num_groups(self) -> int:
        return int(self.groups_N.max(initial=-1)) + 1

    @property
    def is_grouped(self) -> bool:
        """True if any two images are of one group."""
        return self.num_groups < len(self.groups_N)

    @property
    def is_constant(self) -> bool:
        """True if all seeds predict the same, as heads on frozen features that do not depend on the seed."""
        return bool((self.guesses_SN == self.guesses_SN[0]).all())

    @property
    def right_SN(self) -> np.ndarray:
        return self.guesses_SN == self.labels_N

    def of_seeds(self, seeds: Sequence[int]) -> Answers:
        """The answers of some of the seeds, by their places."""
        return replace(self, guesses_SN=self.guesses_SN[list(seeds)])

    def has_the_images_of(self, other: Answers) -> bool:
        """True if images and their labels are the same."""
        return np.array_equal(self.samples_N, other.samples_N) and np.array_equal(
            _names(self)[self.labels_N], _names(other)[other.labels_N]
        )


def _names(answers: Answers) -> np.ndarray:
    return np.array(answers.classes, dtype=object)


def answers_of(
    repetitions: Sequence[Repetition], split: str = "test", known: Tables | None = None
) -> Answers | None:
    """Answers of repetitions; None where predictions are missing, or not of the same labelled images.

    `known` are tables that have been read before.

    Raises:
        UnreadableFile: a file that is not a table of predictions.
    """
    tables = [read_table([run.path for run in repetition.runs], split, known) for repetition in repetitions]
    first = tables[0] if tables else None
    if first is None or first.empty:
        return None
    guesses = []
    for table in tables:
        if table is None or not table[["sample", "label"]].equals(first[["sample", "label"]]):
            return None
        guesses.append(table["predicted"])
    codes, classes = pd.factorize(pd.concat([first["label"], *guesses]), sort=True)
    codes_SN = codes.reshape(len(guesses) + 1, len(first))
    groups_N = _group_codes(first["group"])
    samples_N = first["sample"].to_numpy(dtype=object)
    return Answers(samples_N, codes_SN[0], codes_SN[1:], groups_N, tuple(map(str, classes)))


def read_table(
    folders: Sequence[Path], split: str = "test", known: Tables | None = None
) -> pd.DataFrame | None:
    """`sample`, `label`, `predicted` and `group` of the labelled images of a run, or of all its folds.

    None where predictions are missing. `group` is empty where there is none, or no split.csv. `known` are
    tables that have been read before; what is read now is added.

    Raises:
        UnreadableFile: a file that is not such a table.
    """
    known = {} if known is None else known
    for folder in folders:
        if (folder, split) not in known:
            known[folder, split] = _of_run(folder, split)
    tables = [table for folder in folders if (table := known[folder, split]) is not None]
    if len(tables) < len(folders):
        return None
    return tables[0] if len(tables) == 1 else _by_name(pd.concat(tables, ignore_index=True))


def _of_run(folder: Path, split: str) -> pd.DataFrame | None:
    file = folder / "predictions" / f"{split}.csv"
    if not file.is_file():
        return None
    table = _read(file, _COLUMNS)
    if (table["predicted"] == "").any():  # a class has a name
        raise unreadable(file, "has a row that ends before its predicted class")
    of_sample = _groups(folder, split)
    table = table.assign(group=[of_sample.get(name, "") for name in table["sample"]])
    return _by_name(table[table["label"] != ""])


def _by_name(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values("sample", kind="stable", ignore_index=True)


def _groups(folder: Path, split: str) -> dict[str, str]:
    """The group of each image of a split that has one; with a labelled target `test` is the target's."""
    file = folder / "split.csv"
    if not file.is_file():
        return {}
    table = _read(file, ["sample", "group", "split", "domain"])
    here = table[table["split"] == split.removeprefix("source_")]
    domains = set(here["domain"])
    if split.startswith("source_") or "target" not in domains:
        here = here[here["domain"] != "target"]
    else:
        here = here[here["domain"] == "target"]
    here = here[here["group"] != ""]
    return dict(zip(here["sample"], here["group"], strict=True))


def _read(file: Path, columns: list[str]) -> pd.DataFrame:
    return read_csv(file, usecols=columns, dtype=str, keep_default_na=False)


def _group_codes(groups: pd.Series) -> np.ndarray:
    """Codes of groups; an empty one is a group of its own."""
    own = pd.Series(np.arange(len(groups)).astype(str), index=groups.index)
    return pd.factorize(np.where(groups == "", "row " + own, "group " + groups))[0]
