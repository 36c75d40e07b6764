"""Comparison of a run with its reproduction: values, predictions and environment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from transferlab.evaluation.comparison.answers import answers_of
from transferlab.evaluation.comparison.grouping import Recorded, Repetition
from transferlab.evaluation.comparison.intervals import Interval, intervals
from transferlab.evaluation.predictions import Predictions
from transferlab.run.run_folder import REPORTED, Run

Verdict = Literal["identical", "within the interval", "differs", "differs, has no interval", "not compared"]
# They have intervals wherever there are predictions, and so decide whether a run is reproduced
_DECIDING = frozenset(
    f"{split}.{name}" for split in REPORTED for name in ("accuracy", "balanced_accuracy", "macro_f1")
)
_NOT_COMPARED = ("status", "seed", "warnings", "metrics", "error", "intervals")
_TIMES = ("cost.fit_seconds",)
_NOT_ENVIRONMENT = ("command", "folder", "choices")


@dataclass(frozen=True)
class Value:
    """A number of result.json, of a run and of its reproduction.

    Attributes:
        name: its dotted path.
        recorded: None where the run has none.
        again: None where the reproduction has none.
        interval: of the recorded one, over the samples of its split (95 %); None where none is known.
    """

    name: str
    recorded: float | None
    again: float | None
    interval: Interval | None = None

    @property
    def difference(self) -> float | None:
        return None if self.recorded is None or self.again is None else self.again - self.recorded

    @property
    def verdict(self) -> Verdict:
        if self.name in _TIMES:
            return "not compared"
        if self.recorded == self.again:
            return "identical"
        if self.interval is None:
            return "differs, has no interval"
        is_within = self.again is not None and self.interval.low <= self.again <= self.interval.high
        return "within the interval" if is_within else "differs"


@dataclass(frozen=True)
class PredictionsApart:
    """Differences between the predictions for a split."""

    split: str  # of the data
    num_samples: int  # that both have
    num_others: int  # that only one of them has
    largest: float  # difference of a probability
    num_changed: int  # samples with another predicted class


def values_apart(run: Run, again: Run) -> list[Value]:
    """Every number of result.json, of both."""
    recorded, now = dict(_numbers(run.result)), dict(_numbers(again.result))
    of_metrics = {
        f"{split}.{name}": interval for split in REPORTED for name, interval in _intervals(run, split).items()
    }
    names = dict.fromkeys([*recorded, *now])
    return [Value(name, recorded.get(name), now.get(name), of_metrics.get(name)) for name in names]


def predictions_apart(run: Run, again: Run) -> list[PredictionsApart]:
    """The predictions of both, split by split; samples are matched by name."""
    found = []
    for split in REPORTED:
        files = [each.path / "predictions" / f"{split}.csv" for each in (run, again)]
        if not all(file.is_file() for file in files):
            continue
        recorded, now = (Predictions.read(file) for file in files)
        rows = {sample: row for row, sample in enumerate(now.samples)}
        both = [(row, rows[sample]) for row, sample in enumerate(recorded.samples) if sample in rows]
        one_N = np.array([row for row, _ in both], dtype=np.int64)
        other_N = np.array([row for _, row in both], dtype=np.int64)
        others = len(recorded.samples) + len(now.samples) - 2 * len(both)
        if recorded.classes != now.classes:
            found.append(PredictionsApart(split, len(both), others, float("nan"), len(both)))
            continue
        before_NC, after_NC = recorded.probabilities_NC[one_N], now.probabilities_NC[other_N]
        largest = float(np.abs(before_NC - after_NC).max(initial=0.0))
        changed = int((before_NC.argmax(1) != after_NC.argmax(1)).sum())
        found.append(PredictionsApart(split, len(both), others, largest, changed))
    return found


def environment_apart(run: Run, again: Run) -> dict[str, tuple[Any, Any]]:
    """Differences of versions, hardware, threads and code: then and now, by its dotted name."""
    then, now = (dict(_leaves(_environment(each))) for each in (run, again))
    return {
        name: (then.get(name), now.get(name))
        for name in dict.fromkeys([*then, *now])
        if then.get(name) != now.get(name)
    }


def verdict_of(values: list[Value], predictions: list[PredictionsApart]) -> Verdict:
    """`identical` if all is, bit for bit; else the worst verdict of those values that have an interval.

    Where one of these differs and has none, as the recorded predictions are gone, nothing better can be said.
    """
    verdicts = {value.verdict for value in values} - {"not compared"}
    same = all(split.largest == 0 and split.num_others == 0 for split in predictions)
    if verdicts <= {"identical"} and same:
        return "identical"
    deciding = {value.verdict for value in values if value.name in _DECIDING}
    worst: tuple[Verdict, ...] = ("differs", "differs, has no interval")
    return next((verdict for verdict in worst if verdict in deciding), "within the interval")


def _numbers(content: Any, path: str = "") -> Iterator[tuple[str, float | None]]:
    """Numbers of result.json by their dotted paths; None where a value is not defined."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            if path or key not in _NOT_COMPARED:
                yield from _numbers(value, f"{path}.{key}" if path else str(key))
    elif isinstance(content, list):
        for place, value in enumerate(content):
            yield from _numbers(value, f"{path}[{place}]")
    elif content is None or (isinstance(content, int | float) and not isinstance(content, bool)):
        yield path, content


def _intervals(run: Run, split: str) -> dict[str, Interval]:
    answers = answers_of([Repetition((), (Recorded(run.path),))], split)
    return {} if answers is None else intervals(answers)


def _environment(run: Run) -> dict[str, Any]:
    return {key: value for key, value in run.environment.items() if key not in _NOT_ENVIRONMENT}


def _leaves(content: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value
