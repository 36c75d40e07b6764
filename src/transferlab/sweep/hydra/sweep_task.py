"""The task function that Hydra is given for each job of a sweep."""

from __future__ import annotations

import contextlib
import sys

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from transferlab.run.run_folder import Run
from transferlab.sweep.job import Job
from transferlab.sweep.plan import Plan


class Task:
    """Runs a job in this process, for launchers of others; our own launchers take its plan only.

    Args:
        command: the command line that repeats the sweep, for its record.
    """

    def __init__(self, command: str = "") -> None:
        self.plan = Plan(command)

    def __call__(self, config: DictConfig) -> None:
        """Run what Hydra has composed, unless it has finished before; a failure is recorded, not raised."""
        made_by_hydra = HydraConfig.get().runtime.output_dir
        job = self.plan.add(config)
        if not isinstance(job, Job):
            return
        with contextlib.suppress(OSError):
            Run(made_by_hydra).path.rmdir()  # empty, and not the one that is used
        sys.stdout.write(f"\n{job.run.path.name}\n")
        if job.run.status == "finished":
            sys.stdout.write("finished before, not run again\n")
            return
        from transferlab.sweep.run_jobs import run_jobs

        run_jobs([job])
