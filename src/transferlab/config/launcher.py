"""Check what a sweep's launcher is told, before Hydra makes it."""

from __future__ import annotations

import shutil
from importlib.util import find_spec

from omegaconf import DictConfig

from transferlab.config.plugin import problems_of_arguments

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
    found = list(problems_of_arguments(launcher, "hydra.launcher", above_zero=_ABOVE_ZERO))
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
