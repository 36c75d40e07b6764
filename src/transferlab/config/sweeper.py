"""Check what a sweep's sweeper is told, before Hydra makes it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from omegaconf import DictConfig

from transferlab.config.annotation import in_words, matches, plain
from transferlab.config.signature import signature

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
    found = []
    taken = signature(target)
    assert taken is not None
    for name, argument in taken.arguments.items():
        value = sweeper.get(name)
        too_small = isinstance(value, int) and value < 1 and name in _ABOVE_ZERO
        if not matches(value, argument.annotation) or too_small:
            above = " above 0" if name in _ABOVE_ZERO else ""
            words = in_words(argument.annotation).replace("number", f"number{above}")
            found.append(f"hydra.sweeper.{name}={plain(value)}: must be {words}.")
    if "test" in str(sweeper.get("optimize")):
        found.append("hydra.sweeper.optimize: what the test part says must choose nothing.")
    if find_spec("optuna") is None:
        found.append("hydra/sweeper=optuna: Optuna is missing: pip install 'transferlab[optuna]'.")
    return found
