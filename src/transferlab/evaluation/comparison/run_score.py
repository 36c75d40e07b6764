"""The score by which settings are chosen: of validation, or with a target of the run's own selection."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transferlab.evaluation.comparison.grouping import Recorded
from transferlab.evaluation.comparison.run_metrics import NAMES, metrics_of
from transferlab.evaluation.selection.criteria import CRITERIA
from transferlab.run.reading import read_csv

# scores the last epoch, where `selection=last` has no score of its own: it needs no label of the target
_OF_LAST = "information_maximisation"


@dataclass(frozen=True)
class RunScore:
    """A run's score."""

    criterion: str  # e.g. `val accuracy`, or with two domains `information_maximisation`
    higher_is_better: bool
    value: float | None  # None where the run has none

    @property
    def oriented(self) -> float | None:
        """The same, so that higher is better."""
        return self.value if self.higher_is_better or self.value is None else -self.value


def score_of(run: Recorded, metric: str) -> RunScore:
    """The score of a finished run.

    With one domain the metric of the validation split. With two domains that split is the source's, and says
    nothing of the target: there it is the score of the selected epoch by `strategy.selection`; with `last`,
    which scores nothing, information maximisation of the last epoch.

    Args:
        run: its record.
        metric: `accuracy` or `balanced_accuracy`, of one domain.
    """
    if not has_target(run.config):
        name = f"val {NAMES[metric]}"
        return RunScore(name, True, metrics_of(run.result).get(name))
    selection: Mapping[str, Any] = run.result.get("selection") or {}
    rule = str(selection.get("rule") or (run.config.get("strategy") or {}).get("selection") or "last")
    if rule == "last":
        name = f"{_OF_LAST} of the last epoch"
        return RunScore(name, CRITERIA[_OF_LAST].higher_is_better, _of_epoch(run.path, selection, _OF_LAST))
    value = selection.get("val_loss") if rule == "val_loss" else selection.get("score")
    if value is None:  # recorded before result.json had it
        value = _of_epoch(run.path, selection, rule)
    name = "val_loss of the source" if rule == "val_loss" else rule
    return RunScore(name, CRITERIA[rule].higher_is_better, _finite(value))


def has_target(config: Mapping[str, Any]) -> bool:
    """True if a config has a second domain."""
    data = config.get("data")
    return isinstance(data, Mapping) and data.get("target") is not None


def _of_epoch(folder: Path, selection: Mapping[str, Any], criterion: str) -> float | None:
    """The score of the selected epoch, from selection.csv or history.csv."""
    for name, column in (("selection.csv", criterion), ("history.csv", f"selection/{criterion}")):
        file = folder / name
        if file.is_file():
            table = read_csv(file)
            if column in table and "epoch" in table:
                rows = table.loc[table["epoch"] == selection.get("epoch"), column]
                if len(rows):
                    return _finite(rows.iloc[0])
    return None


def _finite(value: Any) -> float | None:
    return None if value is None or not math.isfinite(float(value)) else float(value)
