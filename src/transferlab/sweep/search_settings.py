"""Settings of a search: how trials are proposed, and the validation metric that they optimise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from transferlab.config.bounds import PositiveInt

if TYPE_CHECKING:
    from transferlab.run.run_folder import Run


@dataclass(kw_only=True)
class SearchSettings:
    """The `hydra.sweeper` section of a config with `hydra/sweeper=optuna`, whose YAML describes it.

    `tpe`: Bergstra et al. (2011), Algorithms for Hyper-Parameter Optimization.
    """

    optimize: Literal["val/accuracy", "val/balanced_accuracy", "val/macro_f1", "val/auroc", "val/loss"] = (
        "val/accuracy"
    )
    num_trials: PositiveInt = 20
    trials_at_once: PositiveInt = 2
    startup_trials: PositiveInt = 10
    sampler: Literal["tpe", "random"] = "tpe"
    sampler_seed: int = 0

    @property
    def direction(self) -> Literal["minimize", "maximize"]:
        return "minimize" if self.optimize == "val/loss" else "maximize"


def metric_of(run: Run, name: str) -> float | None:
    """The metric `split/name` of a finished run; None where it has none, or one that is not finite."""
    split, _, metric = name.partition("/")
    value = (run.result.get(split) or {}).get(metric)
    if run.status != "finished" or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
