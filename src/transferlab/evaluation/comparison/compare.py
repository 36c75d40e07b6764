"""Result of a comparison: groups with their metrics, the chosen ones, and pairs of these."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from transferlab.evaluation.comparison.grouping import (
    Group,
    Recorded,
    Repetition,
    groups_of,
)
from transferlab.evaluation.comparison.intervals import (
    Interval,
    interval_over_seeds,
    intervals_over_samples,
)
from transferlab.evaluation.comparison.pairs import Method, Pair, compare_pairs, confusion_of, hits_of
from transferlab.evaluation.comparison.run_metrics import (
    NAMES,
    RUN_METRICS,
    leading_metric,
    metrics_of_folds,
)


@dataclass(frozen=True)
class Summary:
    """A metric of a group."""

    mean: float  # over seeds
    std: float | None  # over seeds, with Bessel's correction; None for a single one
    interval: Interval | None  # 95 %; None where it would mean nothing


@dataclass(frozen=True)
class Row:
    """A group with its metrics."""

    group: Group  # runs that differ only in seeds
    task: str  # what it learns; the same text for those that learn the same
    each: tuple[dict[str, float], ...]  # the metrics of each of its repetitions, by name
    metrics: dict[str, Summary]  # those that all of its repetitions have, by name
    interval_over: str  # what intervals are over: `seeds`, `test samples` or nothing
    chosen: bool  # its hyperparameters have the best validation metric of its method
    has_rivals: bool  # its method has been run with other hyperparameters too


@dataclass(frozen=True)
class Comparison:
    """Groups, best validation metric first, and the chosen ones pairwise."""

    metric: str  # by which methods are judged: `accuracy` or `balanced_accuracy`
    rows: tuple[Row, ...]  # one a group
    pairs: tuple[Pair, ...]  # of chosen methods
    not_begun: tuple[Recorded, ...]  # runs that failed before they had a config


def compare(runs: Sequence[Recorded]) -> Comparison:
    """Group runs by what differs, choose hyperparameters on validation and test the chosen on test."""
    metric = leading_metric([run.result for run in runs if run.status == "finished"])
    groups = groups_of(runs)
    each = [[metrics_of_folds(repetition.runs) for repetition in group.repetitions] for group in groups]
    val_means = [_mean_of(metrics, f"val {NAMES[metric]}") for metrics in each]
    of_method, of_task = methods(groups), tasks(groups)
    chosen = chosen_on_validation(of_method, val_means)
    best_first = [-math.inf if value is None else value for value in val_means]
    order = sorted(range(len(groups)), key=lambda place: (-best_first[place], groups[place].name))
    rows = [
        _row(
            groups[place],
            of_task[place],
            each[place],
            chosen=chosen[place],
            has_rivals=of_method.count(of_method[place]) > 1,
        )
        for place in order
    ]
    judged = [_method(row, metric) for row in rows if row.chosen]
    pairs = compare_pairs([method for method in judged if method.test_metrics], metric=metric)
    return Comparison(
        metric=metric,
        rows=tuple(rows),
        pairs=tuple(pairs),
        not_begun=tuple(run for run in runs if not run.config),
    )


def _row(group: Group, task: str, each: Sequence[dict[str, float]], *, chosen: bool, has_rivals: bool) -> Row:
    over_samples = _over_samples(group.repetitions[0]) if len(group.repetitions) == 1 else {}
    metrics = {}
    for name in RUN_METRICS:
        if each and all(name in found for found in each):
            values_S = np.array([found[name] for found in each])
            metrics[name] = Summary(
                mean=float(values_S.mean()),
                std=float(values_S.std(ddof=1)) if len(values_S) > 1 else None,
                interval=over_samples.get(name) or interval_over_seeds(values_S),
            )
    has_any = any(summary.interval for summary in metrics.values())
    over = "test samples" if over_samples else "seeds"
    return Row(group, task, tuple(each), metrics, over if has_any else "", chosen, has_rivals)


def _over_samples(repetition: Repetition) -> dict[str, Interval]:
    confusion_CC = confusion_of(repetition)
    found = {} if confusion_CC is None else intervals_over_samples(confusion_CC)
    return {f"test {NAMES[metric]}": interval for metric, interval in found.items()}


def _method(row: Row, metric: str) -> Method:
    name = f"test {NAMES[metric]}"
    repetitions = row.group.repetitions
    seeds = [repetition.seed for repetition in repetitions]
    values: dict[Any, float] = {
        seed: metrics[name] for seed, metrics in zip(seeds, row.each, strict=True) if name in metrics
    }
    return Method(row.group.name, row.task, values, hits_of(repetitions))


def _mean_of(each: Sequence[dict[str, float]], name: str) -> float | None:
    values = [found[name] for found in each if name in found]
    return float(np.mean(values)) if values and len(values) == len(each) else None


# What is learned, as opposed to how: not to be chosen by results
_TASK = (
    "data.root",
    "data.source",
    "data.target",
    "data.shots_per_class",
    "data.fraction",
    "data.val_fraction",
    "data.test_fraction",
    "data.split_seed",
    "data.num_folds",
)


def tasks(groups: Sequence[Group]) -> list[str]:
    """Key of the training of each group; the same text for those that learn the same."""
    return [_told(group, [name for name in group.settings if _is_task(name)]) for group in groups]


def methods(groups: Sequence[Group]) -> list[str]:
    """Task and method of each group: the same text for those that differ in hyperparameters alone.

    A hyperparameter is a setting that is a number, or null, in all groups; options, names and switches make
    another method, and other data another task.
    """
    names = list(groups[0].settings) if groups else []
    hyperparameters = {
        name
        for name in names
        if not _is_task(name) and all(_is_number(group.settings[name]) for group in groups)
    }
    kept = [name for name in names if name not in hyperparameters]
    return [_told(group, kept) for group in groups]


def chosen_on_validation(of_method: Sequence[str], val_means: Sequence[float | None]) -> list[bool]:
    """Of each method the group with the best validation metric, the first of equals.

    A group that is its method's only one needs no metric.

    Args:
        of_method: each group's method.
        val_means: each group's metric, higher is better; None where nothing has finished.
    """
    best: dict[str, int] = {}
    for position, (method, value) in enumerate(zip(of_method, val_means, strict=True)):
        earlier = val_means[best[method]] if method in best else None
        if value is not None and (earlier is None or value > earlier):
            best[method] = position
    return [
        best.get(method) == position or of_method.count(method) == 1
        for position, method in enumerate(of_method)
    ]


def _is_task(name: str) -> bool:
    dotted = name.replace("/", ".")
    return dotted == "data" or any(dotted == key or dotted.startswith(f"{key}.") for key in _TASK)


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _told(group: Group, names: Sequence[str]) -> str:
    settings: Mapping[str, Any] = group.settings
    return repr([settings[name] for name in names])
