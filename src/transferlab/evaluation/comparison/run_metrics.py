"""The metrics of a run that a comparison shows: a pure function of what result.json says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from transferlab.evaluation.comparison.grouping import Recorded
from transferlab.evaluation.metrics import METRICS, classification_metrics
from transferlab.evaluation.predictions import Predictions
from transferlab.run.run_folder import REPORTED

NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "auroc": "AUROC",
    "loss": "loss",
}
SELECTIONS = ("last", "selected", "oracle")  # of an epoch, with two domains
RUN_METRICS = (
    *(f"{split.replace('_', ' ')} {NAMES[metric]}" for split in REPORTED for metric in METRICS),
    *(f"{rule} accuracy" for rule in SELECTIONS),
)


def metrics_of(result: Mapping[str, Any]) -> dict[str, float]:
    """The finite metrics of a finished run, by the names of `RUN_METRICS`.

    A metric of another kind joins here, and in `RUN_METRICS`: everything else follows from these.
    """
    found: dict[str, Any] = {}
    for split in REPORTED:
        for metric in METRICS:
            found[f"{split.replace('_', ' ')} {NAMES[metric]}"] = (result.get(split) or {}).get(metric)
    for name, epoch in _epochs(result.get("selection") or {}).items():
        found[f"{name} accuracy"] = epoch.get("accuracy")
    return {name: float(value) for name, value in found.items() if value is not None and math.isfinite(value)}


def _epochs(selection: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """With two domains: what the last epoch, the selected one and the oracle's give on the target."""
    by_rule = selection.get("target") or {}
    rules = dict(zip(SELECTIONS, ("last", selection.get("rule"), "oracle"), strict=True))
    return {name: by_rule[rule] for name, rule in rules.items() if rule in by_rule}


def metrics_of_folds(runs: Sequence[Recorded]) -> dict[str, float]:
    """The metrics of a run, or of all folds of one seed together.

    The test predictions of folds are pooled before a metric is computed, so without them there is none; other
    metrics are averaged.
    """
    if len(runs) == 1:
        return metrics_of(runs[0].result)
    each = [metrics_of(run.result) for run in runs]
    found = {
        name: float(np.mean([metrics[name] for metrics in each]))
        for name in RUN_METRICS
        if not name.startswith("test ") and all(name in metrics for metrics in each)
    }
    files = [run.path / "predictions" / "test.csv" for run in runs]
    if not all(file.is_file() for file in files):
        return found
    parts = [Predictions.read(file) for file in files]
    labels_N = np.concatenate([part.labels_N for part in parts])
    known = labels_N >= 0
    probabilities_NC = np.concatenate([part.probabilities_NC for part in parts])
    return found | metrics_of({"test": classification_metrics(probabilities_NC[known], labels_N[known])})


def leading_metric(results: Sequence[Mapping[str, Any]]) -> str:
    """By what methods are judged: balanced accuracy where all results lead with it, else accuracy."""
    leading = {(result.get("metrics") or ["accuracy"])[0] for result in results}
    return "balanced_accuracy" if leading == {"balanced_accuracy"} else "accuracy"
