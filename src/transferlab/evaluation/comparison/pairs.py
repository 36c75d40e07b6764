"""Chosen methods against each other, two at a time: over test samples and over seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd

from transferlab.evaluation.comparison.grouping import Recorded, Repetition, Seed
from transferlab.evaluation.comparison.intervals import Interval
from transferlab.evaluation.comparison.significance import (
    holm,
    paired_bootstrap,
    seeds_needed,
    signed_rank,
)
from transferlab.run.reading import read_csv

LEVEL = 0.05
# methods of a task; with more, the correction for all pairs would leave little to be shown
MOST_ALL_PAIRS = 10


@dataclass(frozen=True)
class Method:
    """A chosen method."""

    name: str  # of its group
    task: str  # methods are compared within one
    test_metrics: dict[Seed, float]  # by seed, higher is better
    hits: Hits | None  # on test samples; None where there are none, or not the same ones for all seeds

    @property
    def mean(self) -> float:
        return float(np.mean(list(self.test_metrics.values())))


@dataclass(frozen=True)
class Question:
    """One of the two tests of a pair."""

    p_value: float | None = None  # none where it is not asked
    corrected: float | None = None  # by Holm, for all pairs that are asked the same
    reversed: bool = False  # the test finds the second method of the pair the better one
    why_not: str = ""  # why it is not asked

    @property
    def shown(self) -> bool:
        """True if there is a difference, at a level of 5 % for all pairs together."""
        return self.corrected is not None and self.corrected < LEVEL

    @property
    def verdict(self) -> str:
        """Outcome for the first method of the pair, in words."""
        if self.corrected is None:
            return self.why_not
        if not self.shown:
            return "no difference shown"
        return "worse" if self.reversed else "better"


@dataclass(frozen=True)
class Pair:
    """Two methods of one task, the one with the higher test metric first.

    Attributes:
        difference: of the means of their test metrics over seeds; at least 0.
        interval: of the difference, over test samples; None where these differ.
        num_samples: test samples that both share.
        num_seeds: seeds that both share.
        over_samples: would other test samples show the same of these models? Paired bootstrap.
        over_seeds: would other seeds? Wilcoxon's signed-rank test on shared ones, by ranks instead of means.
    """

    first: str
    second: str
    difference: float
    interval: Interval | None
    num_samples: int
    num_seeds: int
    over_samples: Question
    over_seeds: Question


def compare_pairs(methods: Sequence[Method], *, metric: str) -> list[Pair]:
    """Test pairs of methods that have the same task: all, or with more than ten methods the first with each.

    The two tests answer different questions, so each is corrected by Holm for all pairs by itself.

    Args:
        methods: that have finished runs; the best on validation, which says nothing of test, first.
        metric: `accuracy` or `balanced_accuracy`, of which the test metrics are.
    """
    pairs = [_pair(one, other, metric) for one, other in _to_be_tested(methods)]
    over_samples = _corrected([pair.over_samples for pair in pairs])
    over_seeds = _corrected([pair.over_seeds for pair in pairs])
    return [
        replace(pair, over_samples=samples, over_seeds=seeds)
        for pair, samples, seeds in zip(pairs, over_samples, over_seeds, strict=True)
    ]


def _to_be_tested(methods: Sequence[Method]) -> Iterator[tuple[Method, Method]]:
    for task in dict.fromkeys(method.task for method in methods):
        alike = [method for method in methods if method.task == task]
        if len(alike) > MOST_ALL_PAIRS:
            yield from ((alike[0], other) for other in alike[1:])
        else:
            yield from combinations(alike, 2)


def _pair(one: Method, other: Method, metric: str) -> Pair:
    first, second = (one, other) if one.mean >= other.mean else (other, one)
    shared = sorted(first.test_metrics.keys() & second.test_metrics.keys())
    differences_S = np.array([first.test_metrics[seed] - second.test_metrics[seed] for seed in shared])
    if len(shared) < seeds_needed(1):  # nor could it with more comparisons
        over_seeds = Question(why_not=f"too few seeds: {len(shared)} of {seeds_needed(1)}")
    else:
        tested = signed_rank(differences_S)
        over_seeds = Question(p_value=tested.p_value, reversed=tested.rank_sum < 0)
    interval, num_samples = None, 0
    if first.hits is None or second.hits is None:
        over_samples = Question(why_not="no test samples that all seeds share")
    elif not first.hits.has_the_samples_of(second.hits):
        over_samples = Question(why_not="different test samples")
    else:
        labels_N = np.unique(first.hits.labels_N.astype(str), return_inverse=True)[1]
        num_samples = len(labels_N)
        strata_N = labels_N if metric == "balanced_accuracy" else np.zeros(num_samples, dtype=np.int64)
        found = paired_bootstrap(first.hits.right_N - second.hits.right_N, strata_N)
        interval, over_samples = found.interval, Question(p_value=found.p_value)
    return Pair(
        first=first.name,
        second=second.name,
        difference=first.mean - second.mean,
        interval=interval,
        num_samples=num_samples,
        num_seeds=len(shared),
        over_samples=over_samples,
        over_seeds=over_seeds,
    )


def _corrected(questions: Sequence[Question]) -> list[Question]:
    asked = [question.p_value for question in questions if question.p_value is not None]
    corrected = iter(holm(np.array(asked)).tolist())
    return [
        question if question.p_value is None else replace(question, corrected=next(corrected))
        for question in questions
    ]


@dataclass(frozen=True)
class Hits:
    """The labelled test samples of one repetition or of several, in the order of their names."""

    samples_N: np.ndarray  # names
    labels_N: np.ndarray  # names of the true classes
    right_N: np.ndarray  # the share of repetitions that predict the true class

    def has_the_samples_of(self, other: Hits) -> bool:
        """True if the samples and their labels are the same."""
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
    if table is None or table.empty:
        return None
    right_N = (table["label"] == table["predicted"]).to_numpy(dtype=np.float64)
    return Hits(table["sample"].to_numpy(dtype=object), table["label"].to_numpy(dtype=object), right_N)


def _table(runs: Sequence[Recorded]) -> pd.DataFrame | None:
    """`sample`, `label` and `predicted` of the labelled test samples of a run, or of all folds of one."""
    files = [run.path / "predictions" / "test.csv" for run in runs]
    if not all(file.is_file() for file in files):
        return None
    columns = ["sample", "label", "predicted"]
    tables = [read_csv(file, columns, usecols=columns, dtype=str, keep_default_na=False) for file in files]
    whole = pd.concat(tables)
    return whole[whole["label"] != ""].sort_values("sample", kind="stable", ignore_index=True)
