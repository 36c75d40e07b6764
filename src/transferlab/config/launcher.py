"""Check what a sweep's launcher is told, before Hydra makes it."""

from __future__ import annotations

import shutil
from importlib.util import find_spec

from omegaconf import DictConfig, OmegaConf

from transferlab.config.annotation import in_words, matches, plain
from transferlab.config.signature import signature

_OURS = "hydra_plugins.transferlab_"
_SLURM = "hydra_plugins.transferlab_slurm.SlurmLauncher"
_ABOVE_ZERO = (
    *("jobs_at_once", "timeout_min", "nodes", "tasks_per_node", "cpus_per_task", "gpus_per_node", "mem_gb"),
    *("signal_delay_s", "poll_s"),
)


def problems_of_launcher(launcher: DictConfig) -> list[str]:
    """What is wrong with `hydra.launcher`, as sentences; a launcher of others is left to itself."""
    target = str(launcher.get("_target_"))
    if not target.startswith(_OURS):
        return []
    found = []
    taken = signature(target)
    assert taken is not None
    for name, argument in taken.arguments.items():
        node = launcher.get(name)
        value = OmegaConf.to_container(node) if OmegaConf.is_config(node) else node
        told = f"hydra.launcher.{name}={plain(value)}"
        too_small = isinstance(value, int | float) and value <= 0 and name in _ABOVE_ZERO
        if not matches(value, argument.annotation) or too_small:
            above = " above 0" if name in _ABOVE_ZERO else ""
            words = in_words(argument.annotation).replace("number", f"number{above}")
            found.append(f"{told}: must be {words}.")
    return found + (_what_slurm_needs() if target == _SLURM else [])


def _what_slurm_needs() -> list[str]:
    found = []
    if shutil.which("sbatch") is None:
        found.append(
            "hydra/launcher=slurm: there is no sbatch here. Start the sweep where you submit jobs to Slurm, "
            "or leave this out to run it on this machine."
        )
    if find_spec("submitit") is None:
        found.append("hydra/launcher=slurm: submitit is missing: pip install 'transferlab[slurm]'.")
    return found
