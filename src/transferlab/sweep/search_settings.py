"""How a search proposes its trials, and what it optimises."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from transferlab.config.bounds import PositiveInt

if TYPE_CHECKING:
    from transferlab.run.run_folder import Run


@dataclass(kw_only=True)
class SearchSettings:
    """The `hydra.sweeper` section of a config with `hydra/sweeper=optuna`.

    Attributes:
        optimize: a figure of the validation; one of the test part would choose by what is to be measured.
        num_trials: jobs in all.
        trials_at_once: proposed together.
        startup_trials: at random, before the model of what is good takes over.
        sampler: `tpe`: Bergstra et al. (2011), Algorithms for Hyper-Parameter Optimization.
        sampler_seed: of the proposals alone, not of the jobs.
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


def figure_of(run: Run, name: str) -> float | None:
    """The figure `part/metric` of a finished run; None where it has none, or one that is not finite."""
    part, _, metric = name.partition("/")
    value = (run.result.get(part) or {}).get(metric)
    if run.status != "finished" or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
