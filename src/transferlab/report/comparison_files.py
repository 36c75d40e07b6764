"""A comparison as files: comparison.csv, a row a group, and comparison_tests.csv, a row a pair.

The same results give the same bytes: there are no times, dates or folders of runs in them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from transferlab.evaluation.comparison.compare import Comparison, Row
from transferlab.evaluation.comparison.differences import as_text
from transferlab.evaluation.comparison.grouping import seeds_as_text
from transferlab.evaluation.comparison.intervals import Interval
from transferlab.evaluation.comparison.pairs import Pair
from transferlab.evaluation.comparison.run_metrics import RUN_METRICS
from transferlab.run.run_folder import write_atomically

TABLE, TESTS = "comparison.csv", "comparison_tests.csv"


def write(comparison: Comparison, folder: Path) -> Path:
    """Write both files, and return the path of the first."""
    for name, table in ((TABLE, table_of_groups(comparison)), (TESTS, table_of_pairs(comparison))):
        write_atomically(folder / name, table.to_csv(index=False, float_format="%.6g"))
    return folder / TABLE


def table_of_groups(comparison: Comparison) -> pd.DataFrame:
    """One row a group: its settings, whether it is chosen and by what, its seeds, and its metrics over them.

    Of each metric: the mean under its own name, then `std`, and `low` and `high` of the 95 % interval,
    which covers what `interval covers` says.
    """
    rows = [_row(row) for row in comparison.rows]
    table = pd.DataFrame(rows, columns=list(rows[0]) if rows else ["group", "chosen", "runs"])
    return table.dropna(axis="columns", how="all") if rows else table


def table_of_pairs(comparison: Comparison) -> pd.DataFrame:
    """One row a pair of chosen methods; p-values as found, and corrected by Holm for all pairs."""
    columns = list(_pair(comparison.pairs[0], comparison.metric)) if comparison.pairs else ["first", "second"]
    return pd.DataFrame([_pair(pair, comparison.metric) for pair in comparison.pairs], columns=columns)


def _row(row: Row) -> dict[str, Any]:
    group = row.group
    record: dict[str, Any] = {
        "group": group.name,
        **{name: as_text(value) for name, value in group.settings.items()},
        "chosen": row.chosen,
        "runs": group.num_finished,
        "unfinished": len(group.unfinished),
        "seeds": len(group.repetitions),
        "complete": group.extent,
        "missing seeds": seeds_as_text(group.missing),
        "chosen by": row.score.criterion if row.score else None,
        "score": row.score.value if row.score else None,
        "interval covers": row.covers,
    }
    for name in RUN_METRICS:
        summary = row.metrics.get(name)
        record[name] = summary.mean if summary else None
        record[f"{name} std"] = summary.std if summary else None
        low, high = _ends(summary.interval if summary else None)
        record |= {f"{name} low": low, f"{name} high": high}
    return record


def _pair(pair: Pair, metric: str) -> dict[str, Any]:
    low, high = _ends(pair.interval)
    return {
        "first": pair.first,
        "second": pair.second,
        "metric": f"test {metric}",
        "difference": pair.difference,
        "low": low,
        "high": high,
        "interval covers": pair.covers,
        "samples": pair.num_samples,
        "p over samples": pair.over_samples.p_value,
        "corrected p over samples": pair.over_samples.corrected,
        "over samples": pair.over_samples.verdict,
        "seeds": pair.num_seeds,
        "p over seeds": pair.over_seeds.p_value,
        "corrected p over seeds": pair.over_seeds.corrected,
        "over seeds": pair.over_seeds.verdict,
    }


def _ends(interval: Interval | None) -> tuple[float | None, float | None]:
    return (interval.low, interval.high) if interval else (None, None)
