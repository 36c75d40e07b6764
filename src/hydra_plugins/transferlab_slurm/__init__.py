"""Lets Hydra run the jobs of a sweep on a cluster: `hydra/launcher=slurm`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from transferlab.sweep.slurm.slurm_settings import SlurmSettings


@dataclass(kw_only=True)
class SlurmLauncher(SlurmSettings, Launcher):
    """Takes what Slurm is asked for, and hands the jobs to `transferlab.sweep.slurm.slurm_launcher`."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Hydra calls this once, before the first jobs."""
        from transferlab.sweep.hydra_sweep import HydraSweep

        self.sweep = HydraSweep(hydra_context, task_function, config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run jobs, and tell how each ended."""
        from transferlab.sweep.slurm.slurm_launcher import launch

        settings = SlurmSettings(**{each.name: getattr(self, each.name) for each in fields(SlurmSettings)})
        return self.sweep.run(
            job_overrides, initial_job_idx, lambda jobs: launch(jobs, settings, self.sweep.folder)
        )
