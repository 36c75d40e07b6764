"""Settings of a search: how trials are proposed, and the validation metric that they optimise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from transferlab.config.bounds import PositiveInt

if TYPE_CHECKING:
    from transferlab.evaluation.comparison.run_score import RunScore
    from transferlab.run.run_folder import Run


@dataclass(kw_only=True)
class SearchSettings:
    """The `hydra.sweeper` section of a config with `hydra/sweeper=optuna`, whose YAML describes it.

    `tpe`: Bergstra et al. (2011), Algorithms for Hyper-Parameter Optimization.
    """

    optimize: (
        Literal["val/accuracy", "val/balanced_accuracy", "val/macro_f1", "val/auroc", "val/loss"] | None
    ) = None
    num_trials: PositiveInt = 20
    trials_at_once: PositiveInt = 2
    startup_trials: PositiveInt = 10
    sampler: Literal["tpe", "random"] = "tpe"
    sampler_seed: int = 0

    @property
    def direction(self) -> Literal["minimize", "maximize"]:
        """Of what jobs return; a score that `optimize` does not name is turned so that higher is better."""
        return "minimize" if self.optimize == "val/loss" else "maximize"


def own_score(run: Run) -> RunScore:
    """The score of a finished run by which settings are chosen where `optimize` names no metric.

    With one domain the validation accuracy. With two domains that is the source's, so the score of the run's
    own `strategy.selection`, see `run_score.py`.
    """
    import yaml

    from transferlab.evaluation.comparison.grouping import Recorded
    from transferlab.evaluation.comparison.run_score import score_of

    config = yaml.safe_load(run.config_file.read_text(encoding="utf-8")) or {}
    return score_of(Recorded(run.path, config, {}, run.result), "accuracy")


def metric_of(run: Run, name: str) -> float | None:
    """The metric `split/name` of a finished run; None where it has none, or one that is not finite."""
    split, _, metric = name.partition("/")
    value = (run.result.get(split) or {}).get(metric)
    if run.status != "finished" or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
