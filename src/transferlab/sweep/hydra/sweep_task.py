"""What Hydra is asked to do with each job of a sweep."""

from __future__ import annotations

import contextlib
import sys

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from transferlab.run.folder import Run
from transferlab.sweep.job import Job, composed_job
from transferlab.sweep.plan import Places
from transferlab.sweep.sweep_record import SweepRecord


class Task:
    """Runs a job in this process, for launchers of others; our own asks only what the job is.

    Args:
        command: how the sweep was asked for, for its record.

    Attributes:
        runs: of the jobs so far, each once.
    """

    def __init__(self, command: str = "") -> None:
        self.command = command
        self.runs: list[Run] = []
        self._places: Places | None = None

    def __call__(self, config: DictConfig) -> None:
        """Run what Hydra has composed, unless it has finished before; a failure is recorded, not raised."""
        made_by_hydra = HydraConfig.get().runtime.output_dir
        job = self.composed(config)
        if not isinstance(job, Job):
            return
        with contextlib.suppress(OSError):
            Run(made_by_hydra).path.rmdir()  # empty, and not the one that is used
        sys.stdout.write(f"\n{job.run.path.name}\n")
        if job.run.status == "finished":
            sys.stdout.write("finished before, not run again\n")
            return
        from transferlab.sweep.run_jobs import work

        work([job])

    def composed(self, config: DictConfig) -> Job | Run:
        """The job that Hydra has composed; the run alone if its config is wrong, recorded as failed."""
        job = composed_job(config)
        first = job.run if isinstance(job, Job) else job
        if self._places is None:
            record = SweepRecord(first.path.parent)
            record.describe(self.command)
            self._places = Places(record)
        overrides = list(HydraConfig.get().overrides.task)
        if isinstance(job, Job):
            job = self._places.placed(job, overrides)
        else:
            self._places.refused(job, overrides)
        run = job.run if isinstance(job, Job) else job
        if run.path not in [other.path for other in self.runs]:
            self.runs.append(run)
        return job
