"""Lets Hydra run the jobs of a sweep in processes of their own: `hydra/launcher=local`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from transferlab.config.bounds import PositiveInt


class LocalLauncher(Launcher):
    """Hands the jobs to `transferlab.sweep.local.local_launcher`, which is imported when it is needed."""

    def __init__(self, jobs_at_once: PositiveInt | Literal["auto"] = "auto") -> None:
        self.jobs_at_once = jobs_at_once

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Hydra calls this once, before the first jobs."""
        from transferlab.sweep.hydra_sweep import HydraSweep

        self.sweep = HydraSweep(hydra_context, task_function, config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run jobs, and tell how each ended."""
        from transferlab.sweep.local.local_launcher import launch

        return self.sweep.run(
            job_overrides, initial_job_idx, lambda jobs: launch(jobs, jobs_at_once=self.jobs_at_once)
        )
