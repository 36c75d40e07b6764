"""A sweep as a table: what differs between its runs, and the mean and spread over seeds."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import OmegaConf

from transferlab.evaluation.metrics import classification_metrics
from transferlab.evaluation.predictions import Predictions
from transferlab.run.folder import Run

_SEEDS = ("seed", "data.shots_seed")
_FOLD = "data.fold"
_SHOWN = {
    "val accuracy": ("val", "accuracy"),
    "test accuracy": ("test", "accuracy"),
    "test balanced accuracy": ("test", "balanced_accuracy"),
    "test macro F1": ("test", "macro_f1"),
    "fit seconds": ("cost", "fit_seconds"),
}


def compare_sweep(folder: Path) -> pd.DataFrame:
    """Write comparison.csv into a sweep's folder from all runs in it, and print the table."""
    runs = [Run(result.parent) for result in sorted(folder.glob("*/result.json"))]
    begun = [run for run in runs if run.config_file.is_file()]
    table = comparison(begun) if begun else pd.DataFrame()
    table.to_csv(folder / "comparison.csv", index=False, float_format="%.6g")
    if begun:
        _print(table)
    for run in runs:
        if run.status != "finished":
            reason = str(run.result.get("error", "")).partition("\n")[0]
            sys.stdout.write(f"{run.status}: {run.path.name}: {reason}\n")
    return table


def comparison(runs: Sequence[Run]) -> pd.DataFrame:
    """One row for each combination of settings that differ: how many runs, means and standard deviations.

    Seeds are repetitions: the spread is over them. Folds are parts of one: the test predictions of all folds
    of a seed are pooled before a figure is computed.
    """
    differing = what_differs([_labels(run) for run in runs])
    keys = [name for name in differing[0] if name not in (*_SEEDS, _FOLD)]
    table = pd.DataFrame(differing).assign(run=pd.Series(list(runs), dtype=object))
    grouped = table.groupby(keys, sort=False, dropna=False) if keys else [((), table)]
    rows = []
    for values, group in grouped:
        done = group[[run.status == "finished" for run in group["run"]]]
        figures = pd.DataFrame([_figures(list(repetition)) for repetition in _repetitions(done)])
        row = dict(zip(keys, values if isinstance(values, tuple) else (values,), strict=True))
        row |= {"runs": len(done), "failed": len(group) - len(done)}
        for name in _SHOWN:
            numbers = pd.to_numeric(figures[name]).dropna() if name in figures else pd.Series(dtype=float)
            row[name] = numbers.mean() if len(numbers) else float("nan")
            row[f"{name} std"] = numbers.std(ddof=1) if len(numbers) > 1 else float("nan")
        rows.append(row)
    return pd.DataFrame(rows).sort_values("val accuracy", ascending=False, kind="stable", ignore_index=True)


def _repetitions(done: pd.DataFrame) -> list[list[Run]]:
    """Finished runs by seed: one run each, or with folds all of a seed's folds together."""
    if _FOLD not in done:
        return [[run] for run in done["run"]]
    seeds = [name for name in _SEEDS if name in done]
    if not seeds:
        return [list(done["run"])] if len(done) else []
    return [list(group["run"]) for _, group in done.groupby(seeds, sort=False, dropna=False)]


def _figures(runs: Sequence[Run]) -> dict[str, float | None]:
    """The shown figures of a run, or of several folds whose test predictions are pooled."""
    results = [run.result for run in runs]
    if len(runs) == 1:
        return {name: (results[0].get(part) or {}).get(key) for name, (part, key) in _SHOWN.items()}
    parts = [Predictions.read(run.path / "predictions" / "test.csv") for run in runs]
    probabilities = np.concatenate([part.probabilities_NC for part in parts])
    pooled = classification_metrics(probabilities, np.concatenate([part.labels_N for part in parts]))
    mean_val = float(np.mean([result["val"]["accuracy"] for result in results]))
    seconds = sum(result["cost"]["fit_seconds"] for result in results)
    by_part: dict[str, dict[str, Any]] = {
        "val": {"accuracy": mean_val},
        "test": pooled,
        "cost": {"fit_seconds": seconds},
    }
    return {name: by_part[part].get(key) for name, (part, key) in _SHOWN.items()}


def what_differs(labels: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of each run's labels, those in which the runs differ.

    A chosen option (`strategy`) stands for the keys below it (`strategy.objective.weight`), as long as
    runs with the same option agree in them.
    """
    names = list(dict.fromkeys(name for label in labels for name in label))
    varying = [name for name in names if len({json.dumps(label.get(name)) for label in labels}) > 1]
    groups = [name for name in varying if "." not in name and name != "seed"]
    kept = []
    for name in varying:
        dotted = name.replace("/", ".")
        above = [group for group in groups if dotted.startswith(group.replace("/", ".") + ".")]
        if above and name not in _SEEDS:
            explained: dict[str, set[str]] = {}
            for label in labels:
                option = json.dumps([label.get(group) for group in above])
                explained.setdefault(option, set()).add(json.dumps(label.get(name)))
            if all(len(values) == 1 for values in explained.values()):
                continue
        kept.append(name)
    return [{name: label.get(name) for name in kept} for label in labels]


def _labels(run: Run) -> dict[str, Any]:
    """The choices and the config of a run, flat; the experiment's own name and the logger tell nothing."""
    file = run.path / "environment.json"
    environment = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    choices = {
        name.partition("@")[2].replace(".", "/") or name: option
        for name, option in environment.get("choices", {}).items()
        if not name.startswith(("hydra", "logger", "trainer"))
    }
    config = OmegaConf.to_container(OmegaConf.load(run.config_file))
    assert isinstance(config, dict)
    flat = dict(_flat({str(key): value for key, value in config.items()}))
    ignored = ("name", "logger.", "trainer.enable_progress_bar")
    return {
        **choices,
        **{
            key: value for key, value in flat.items() if not key.startswith(ignored) and "_target_" not in key
        },
    }


def _flat(mapping: Mapping[str, Any], prefix: str = "") -> Any:
    for key, value in mapping.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(value) if isinstance(value, list | dict) else value


def _print(table: pd.DataFrame) -> None:
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=None, pad_edge=False, header_style="bold")
    settings = [name for name in table.columns if name not in _SHOWN and not name.endswith(" std")]
    for name in settings:
        shown.add_column(str(name), justify="right" if name in ("runs", "failed") else "left")
    for name in _SHOWN:
        shown.add_column(name, justify="right")
    for row in table.astype(object).to_dict("records"):
        cells = ["-" if pd.isna(row[name]) else str(row[name]) for name in settings]
        for name in _SHOWN:
            digits = 1 if "seconds" in name else 3
            mean, std = row[name], row[f"{name} std"]
            text = "-" if pd.isna(mean) else f"{mean:.{digits}f}"
            cells.append(text if pd.isna(std) else f"{text} ± {std:.{digits}f}")
        shown.add_row(*cells)
    console = Console() if sys.stdout.isatty() else Console(width=160)
    console.print()
    console.print(shown)
