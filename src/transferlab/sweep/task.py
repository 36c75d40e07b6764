"""What Hydra is asked to do with each job of a sweep."""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from transferlab.run.folder import Run
from transferlab.sweep.job import Job, composed_job


class Task:
    """Runs a job in this process, for launchers of others; our own asks only what the job is.

    Attributes:
        runs: of the jobs so far, each once.
    """

    def __init__(self) -> None:
        self.runs: list[Run] = []

    def __call__(self, config: DictConfig) -> None:
        """Run what Hydra has composed, unless it has finished before; a failure is recorded, not raised."""
        job = self.composed(config)
        if not isinstance(job, Job):
            return
        sys.stdout.write(f"\n{job.run.path.name}\n")
        if job.run.status == "finished":
            sys.stdout.write("finished before, not run again\n")
            return
        from transferlab.sweep.work import work

        work([job])

    def composed(self, config: DictConfig) -> Job | Run:
        """The job that Hydra has composed; the run alone if its config is wrong, recorded as failed."""
        job = composed_job(config)
        run = job.run if isinstance(job, Job) else job
        if run.path not in [other.path for other in self.runs]:
            self.runs.append(run)
        return job
