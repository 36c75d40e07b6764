"""Runs whose files cannot be read: named and left out, so that the others are compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from transferlab.evaluation.comparison.answers import Tables, read_table
from transferlab.evaluation.comparison.grouping import Recorded, groups_of, unreadable
from transferlab.evaluation.comparison.run_metrics import leading_metric, metrics_of, metrics_of_folds
from transferlab.evaluation.comparison.run_score import score_of
from transferlab.run.run_folder import REPORTED

if TYPE_CHECKING:
    import pandas as pd


def without_damaged(runs: Sequence[Recorded], tables: Tables) -> list[Recorded]:
    """The same runs; in the place of one that cannot be read, the reason. What is read goes into `tables`."""
    return [unreadable(run.path, reason) if (reason := damage_of(run, tables)) else run for run in runs]


def _facts(table: pd.DataFrame) -> list[tuple[str, float]]:
    """Facts of a table of predictions that result.json holds, too."""
    accuracy = [("accuracy", float((table["label"] == table["predicted"]).mean()))] if len(table) else []
    return [("samples", len(table)), *accuracy]


def damage_of(run: Recorded, tables: Tables) -> str:
    """The first thing in a run's files that a comparison cannot read; empty where it can read all of them."""
    try:
        groups_of([run])
        if run.status == "finished":
            leading_metric([run.result])
            metrics_of(run.result)
            score_of(run, "accuracy")
            for split in REPORTED[1:]:
                table = read_table([run.path], split, tables)
                said = run.result.get(split) or {}
                for name, found in () if table is None else _facts(table):
                    if said.get(name) is not None and not math.isclose(said[name], found, abs_tol=1e-9):
                        return f"predictions/{split}.csv: {name} {found:g}, result.json says {said[name]:g}"
            if (run.config.get("data") or {}).get("fold") is not None:
                metrics_of_folds([run, run])
    except (AttributeError, KeyError, IndexError, TypeError, ValueError, OSError) as error:
        return f"{error}" if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {error}"
    return ""
