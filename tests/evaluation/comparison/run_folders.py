"""Run folders made by hand: what a run would have left, without the run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from transferlab.evaluation.metrics import classification_metrics
from transferlab.evaluation.predictions import Predictions
from transferlab.run.run_folder import Run

CLASSES = ("a", "b")


def right(share: float, *, num_samples: int = 100, start: int = 0) -> np.ndarray:
    """Which of the samples are predicted rightly: a share of them, from the one at `start` on."""
    return (np.arange(num_samples) - start) % num_samples < round(share * num_samples)


def make_run(
    folder: str | Path,
    test: float | np.ndarray | None,
    *,
    seed: int = 0,
    strategy: str = "fine_tune",
    val: float | None = None,
    settings: Mapping[str, Any] | None = None,
    choices: Mapping[str, str] | None = None,
    status: str = "finished",
    metrics: tuple[str, ...] = ("accuracy",),
    selection: Mapping[str, Any] | None = None,
    names: str = "sample",
) -> Run:
    """A run folder.

    Args:
        folder: its path; within `sweep` unless it says otherwise.
        test: which test samples are predicted rightly, or how many; None: no test part.
        seed: of the run.
        strategy: the chosen option; `strategy.factor` depends on it.
        val: the validation accuracy; None: as on test.
        settings: further keys of the config, dotted.
        choices: further options.
        status: as result.json says it.
        metrics: the leading metrics.
        selection: as in result.json.
        names: how the names of the samples begin.
    """
    run = Run(Path("sweep") / folder)
    run.path.mkdir(parents=True)
    config = OmegaConf.create(
        {"seed": seed, "strategy": {"factor": len(strategy), "rate": 0.1}, "data": {"num_workers": seed}}
    )
    for key, value in (settings or {}).items():
        OmegaConf.update(config, key, value, force_add=True)
    OmegaConf.save(config, run.config_file)
    chosen = {"strategy": strategy, "hydra/launcher": "basic", **(choices or {})}
    run.write_json("environment.json", {"choices": chosen})
    result: dict[str, Any] = {"status": status, "metrics": list(metrics)}
    if status == "finished":
        result["val"] = {"accuracy": val}
        if test is not None:
            hits = right(test) if isinstance(test, float) else test
            predictions = predicted(hits, names)
            predictions.write(run.path / "predictions" / "test.csv")
            result["test"] = classification_metrics(predictions.probabilities_NC, predictions.labels_N)
            result["val"] = {"accuracy": float(hits.mean()) if val is None else val}
        result |= {"cost": {"fit_seconds": 2.0}, "selection": dict(selection or {})}
    elif status == "failed":
        result["error"] = "no reason\nin particular"
    run.write_json("result.json", result)
    return run


def predicted(hits_N: np.ndarray, names: str = "sample") -> Predictions:
    """Predictions with these hits; two of three samples are of the first class."""
    labels_N = (np.arange(len(hits_N)) % 3 == 2).astype(np.int64)
    first_N = np.where((labels_N == 0) == hits_N, 0.9, 0.1)
    samples = [f"{names}{number}" for number in range(len(hits_N))]
    return Predictions(samples, labels_N, np.stack([first_N, 1 - first_N], axis=1), CLASSES)
