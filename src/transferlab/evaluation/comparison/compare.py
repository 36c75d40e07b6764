"""Result of a comparison: groups with their metrics, the chosen ones, and pairs of these."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from transferlab.evaluation.comparison.answers import Answers, Tables, answers_of
from transferlab.evaluation.comparison.choosing import chosen_on_validation, methods, tasks
from transferlab.evaluation.comparison.damage import without_damaged
from transferlab.evaluation.comparison.grouping import Group, Recorded, groups_of
from transferlab.evaluation.comparison.intervals import (
    WITH_INTERVALS,
    Interval,
    coverage_of,
    interval_over_seeds,
    intervals,
)
from transferlab.evaluation.comparison.pairs import Method, Pair, compare_pairs
from transferlab.evaluation.comparison.run_metrics import (
    NAMES,
    RUN_METRICS,
    leading_metric,
    metrics_of_folds,
)
from transferlab.evaluation.comparison.run_score import RunScore, score_of
from transferlab.run.run_folder import REPORTED

TESTED = tuple(split for split in REPORTED if split != "val")
"""Splits whose metrics have intervals; on `val` epochs and settings are chosen, so none would hold."""


@dataclass(frozen=True)
class Summary:
    """A metric of a group."""

    mean: float  # over seeds
    std: float | None  # over seeds, with Bessel's correction; None for a single one
    interval: Interval | None  # 95 %; None where none is known to hold


@dataclass(frozen=True)
class Row:
    """A group with its metrics."""

    group: Group  # runs that differ only in seeds
    task: str  # what it learns; the same text for those that learn the same
    each: tuple[dict[str, float], ...]  # the metrics of each of its repetitions, by name
    metrics: dict[str, Summary]  # those that all of its repetitions have, by name
    covers: str  # what its intervals cover, e.g. `other images and other seeds`; empty without any
    score: RunScore | None  # mean over seeds, by which it was chosen or not; None where nothing has finished
    chosen: bool  # its hyperparameters have the best score of its method
    has_rivals: bool  # its method has been run with other hyperparameters too
    is_incomplete: bool  # it has fewer finished runs than a rival, and so cannot be chosen


@dataclass(frozen=True)
class Comparison:
    """Groups, best score first, and the chosen ones pairwise."""

    metric: str  # by which methods are judged: `accuracy` or `balanced_accuracy`
    rows: tuple[Row, ...]  # one a group
    pairs: tuple[Pair, ...]  # of chosen methods
    not_begun: tuple[
        Recorded, ...
    ]  # runs that failed before they had a config, or whose files cannot be read

    @property
    def criteria(self) -> tuple[str, ...]:
        """Criteria by which settings were chosen; scores of different ones do not compare."""
        return tuple(dict.fromkeys(row.score.criterion for row in self.rows if row.score is not None))


def compare(runs: Sequence[Recorded]) -> Comparison:
    """Group runs by what differs, choose hyperparameters on validation and test the chosen on test."""
    tables: Tables = {}
    runs = without_damaged(runs, tables)
    metric = leading_metric([run.result for run in runs if run.status == "finished"])
    groups = groups_of(runs)
    scores = [_score(group, metric) for group in groups]
    oriented = [None if score is None else score.oriented for score in scores]
    of_method, of_task = methods(groups), tasks(groups)
    num_finished = [group.num_finished for group in groups]
    chosen = chosen_on_validation(of_method, oriented, num_finished)
    comparable = len({score.criterion for score in scores if score is not None}) < 2
    best_first = [-math.inf if value is None else value if comparable else 0.0 for value in oriented]
    order = sorted(range(len(groups)), key=lambda place: (-best_first[place], groups[place].name))
    rows, judged = [], []
    for place in order:
        rivals = [other for other, method in enumerate(of_method) if method == of_method[place]]
        answers = {split: answers_of(groups[place].repetitions, split, tables) for split in TESTED}
        row = _row(
            groups[place],
            of_task[place],
            scores[place],
            answers,
            chosen=chosen[place],
            has_rivals=len(rivals) > 1,
            is_incomplete=num_finished[place] < max(num_finished[other] for other in rivals),
        )
        rows.append(row)
        if row.chosen:
            judged.append(_method(row, answers["test"], metric))
    pairs = compare_pairs([method for method in judged if method.test_metrics], metric=metric)
    return Comparison(
        metric=metric,
        rows=tuple(rows),
        pairs=tuple(pairs),
        not_begun=tuple(run for run in runs if not run.config),
    )


def _score(group: Group, metric: str) -> RunScore | None:
    """Mean over the seeds of a group; without a value where a seed has none."""
    found = [score_of(run, metric) for repetition in group.repetitions for run in repetition.runs]
    if not found:
        return None
    values = [score.value for score in found if score.value is not None]
    mean = float(np.mean(values)) if len(values) == len(found) else None
    return RunScore(found[0].criterion, found[0].higher_is_better, mean)


def _row(
    group: Group, task: str, score: RunScore | None, answers: dict[str, Answers | None], **outcome: bool
) -> Row:
    each = [metrics_of_folds(repetition.runs) for repetition in group.repetitions]
    of_images: dict[str, Interval] = {}
    covers: dict[str, None] = {}
    for split, of_split in answers.items():
        if of_split is not None and (found := intervals(of_split)):
            title = split.replace("_", " ")
            of_images |= {f"{title} {NAMES[name]}": interval for name, interval in found.items()}
            covers[coverage_of(of_split)] = None
    metrics = {}
    for name in RUN_METRICS:
        if each and all(name in found for found in each):
            values_S = np.array([found[name] for found in each])
            interval = of_images.get(name)
            if interval is None and name in _OVER_SEEDS and not of_images:
                interval = interval_over_seeds(values_S)
                covers |= {} if interval is None else {"other seeds, each with its own test images": None}
            metrics[name] = Summary(
                mean=float(values_S.mean()),
                std=float(values_S.std(ddof=1)) if len(values_S) > 1 else None,
                interval=interval,
            )
    return Row(group, task, tuple(each), metrics, "; ".join(covers), score, **outcome)


# metrics that have an interval over seeds where their test images are not the same
_OVER_SEEDS = frozenset(
    f"{split.replace('_', ' ')} {NAMES[name]}" for split in TESTED for name in WITH_INTERVALS
)


def _method(row: Row, answers: Answers | None, metric: str) -> Method:
    name = f"test {NAMES[metric]}"
    seeds = [repetition.seed for repetition in row.group.repetitions]
    values: dict[Any, float] = {
        seed: metrics[name] for seed, metrics in zip(seeds, row.each, strict=True) if name in metrics
    }
    return Method(row.group.name, row.task, values, answers if len(values) == len(seeds) else None)
