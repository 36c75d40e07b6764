"""Check the settings of Hydra's plugins, a sweep's launcher and sweeper, before Hydra makes them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from importlib.util import find_spec

from omegaconf import DictConfig, OmegaConf

from transferlab.config.annotation import broken_rule, matches, plain, wrong_type
from transferlab.config.signature import signature

_OURS = "hydra_plugins.transferlab_"
_SLURM = "hydra_plugins.transferlab_slurm.SlurmLauncher"
_OPTUNA = "hydra_plugins.transferlab_optuna.OptunaSweeper"
_BASIC = "hydra._internal.core_plugins."


def problems_of_launcher(launcher: DictConfig) -> list[str]:
    """What is wrong with `hydra.launcher`, as sentences; a launcher of others is left to itself."""
    target = str(launcher.get("_target_"))
    if not target.startswith(_OURS):
        return []
    found = list(_problems_of_arguments(launcher, "hydra.launcher"))
    if target == _SLURM and shutil.which("sbatch") is None:
        found.append(
            "hydra/launcher=slurm: there is no sbatch here. Start the sweep where you submit jobs to Slurm, "
            "or leave this out to run it on this machine."
        )
    if target == _SLURM and find_spec("submitit") is None:
        found.append("hydra/launcher=slurm: submitit is missing: pip install 'transferlab[slurm]'.")
    return found


def problems_of_sweeper(sweeper: DictConfig, overrides: Sequence[str]) -> list[str]:
    """What is wrong with `hydra.sweeper` for these overrides; one of others is left to itself."""
    target = str(sweeper.get("_target_"))
    if target.startswith(_BASIC):
        fix = "has no end of values to try. Add hydra/sweeper=optuna, which searches among them."
        return [f"{text}: interval(...) {fix}" for text in overrides if "interval(" in text]
    if target != _OPTUNA:
        return []
    found = list(_problems_of_arguments(sweeper, "hydra.sweeper"))
    if "test" in str(sweeper.get("optimize")):
        found.append("hydra.sweeper.optimize: what the test split says must choose nothing.")
    if find_spec("optuna") is None:
        found.append("hydra/sweeper=optuna: Optuna is missing: pip install 'transferlab[optuna]'.")
    return found


def _problems_of_arguments(plugin: DictConfig, path: str) -> Iterator[str]:
    """A sentence for each argument, at `path` in the config, of a wrong type or out of its bounds."""
    taken = signature(str(plugin._target_))
    assert taken is not None
    for name, argument in taken.arguments.items():
        node = plugin.get(name)
        value = OmegaConf.to_container(node) if OmegaConf.is_config(node) else node
        if not matches(value, argument.annotation):
            yield f"{path}.{name}={plain(value)}: {wrong_type(value, argument.annotation)}"
        elif rule := broken_rule(value, argument.annotation):
            yield f"{path}.{name}={plain(value)}: {rule}."
