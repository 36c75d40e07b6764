"""Check what a sweep's sweeper is told, before Hydra makes it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from omegaconf import DictConfig

from transferlab.config.plugin import problems_of_arguments

_OPTUNA = "hydra_plugins.transferlab_optuna.OptunaSweeper"
_BASIC = "hydra._internal.core_plugins."
_ABOVE_ZERO = ("num_trials", "trials_at_once", "startup_trials")


def problems_of_sweeper(sweeper: DictConfig, overrides: Sequence[str]) -> list[str]:
    """What is wrong with `hydra.sweeper` for these overrides; one of others is left to itself."""
    target = str(sweeper.get("_target_"))
    if target.startswith(_BASIC):
        mend = "has no end of values to try. Add hydra/sweeper=optuna, which searches among them."
        return [f"{text}: interval(...) {mend}" for text in overrides if "interval(" in text]
    if target != _OPTUNA:
        return []
    found = list(problems_of_arguments(sweeper, "hydra.sweeper", above_zero=_ABOVE_ZERO))
    if "test" in str(sweeper.get("optimize")):
        found.append("hydra.sweeper.optimize: what the test part says must choose nothing.")
    if find_spec("optuna") is None:
        found.append("hydra/sweeper=optuna: Optuna is missing: pip install 'transferlab[optuna]'.")
    return found
