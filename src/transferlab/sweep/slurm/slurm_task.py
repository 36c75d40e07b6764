"""A task of a Slurm array runs a group of a sweep; on a signal to end it saves and is requeued."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from transferlab.run.run_folder import Run
from transferlab.sweep.job import Job, record_end
from transferlab.sweep.slurm import queue as slurm_queue
from transferlab.sweep.slurm.slurm_settings import SlurmSettings

# Slurm kills a job 30 s after its SIGTERM, unless the cluster says otherwise (KillWait)
_TERM_PATIENCE_S = 15.0
# A folder's lock outlives a node that failed by the lease of the file system
_LOCK_PATIENCE_S = 180.0
_EARLY_S = 90  # Slurm may send the signal that precedes the time limit by so much earlier


class SlurmTask:
    """Called by submitit within the task, in each of its processes; the first of them leads.

    Args:
        group: the jobs, as JSON describes them.
        settings: of the sweep.
    """

    def __init__(self, group: Sequence[Mapping[str, Any]], settings: SlurmSettings) -> None:
        self.group, self.settings = group, settings

    def __call__(self) -> None:
        """Run the group; how each job ended is in its folder."""
        from transferlab.run import signals

        jobs = [Job.from_json(content) for content in self.group]
        runs = [job.run for job in jobs]
        if all(run.status == "finished" for run in runs):
            return
        os.environ["SLURM_JOB_NAME"] = "interactive"  # so Lightning leaves signals and requeueing to us
        began, saved = time.time(), _saved(runs)
        patience_s: dict[int, float] = {
            signal.SIGUSR2: self.settings.signal_delay_s / 2,
            signal.SIGTERM: _TERM_PATIENCE_S,
        }
        with signals.noted(patience_s):
            try:
                self._work(jobs)
            except KeyboardInterrupt:
                sys.stdout.write("interrupted\n")
            asked = signals.received()
        if not _leads():
            return
        if asked is not None:
            self._leave(runs, asked, ran_s=time.time() - began, has_saved=_saved(runs) != saved)
        elif any(run.status != "finished" for run in runs):
            sys.exit(1)  # Slurm shows it as failed, and srun ends the other processes

    def _work(self, jobs: Sequence[Job]) -> None:
        from transferlab.sweep.run_jobs import run_jobs

        if self.settings.nodes * self.settings.tasks_per_node > 1:
            _describe_processes()
        if not _leads():
            _join(jobs[0])
            return
        deadline = time.monotonic() + _LOCK_PATIENCE_S
        while not run_jobs(jobs):
            if time.monotonic() > deadline:
                return
            time.sleep(5)

    def _leave(self, runs: Sequence[Run], asked: int, *, ran_s: float, has_saved: bool) -> None:
        """Start again if this is for us to do, and worth it.

        By SIGTERM, Slurm ends a job that it has cancelled, or has put into the queue again. But if it lists
        the job as running still, this one is being preempted, and has a while to give way by itself.
        """
        from submitit import JobEnvironment

        # `12_3`: SLURM_JOB_ID is the whole array's for one of its tasks, and means all of them to scontrol
        job_id = JobEnvironment().job_id
        left = [run for run in runs if run.status != "finished"]
        if not left or (asked == signal.SIGTERM and slurm_queue.state_of(job_id) != "RUNNING"):
            return
        settings = self.settings
        limit = f"its time limit of {settings.timeout_min} min (hydra.launcher.timeout_min)"
        at_limit = asked == signal.SIGUSR2 and (
            ran_s > 60 * settings.timeout_min - settings.signal_delay_s - _EARLY_S
        )
        why = f"reached {limit}" if at_limit else "asked by Slurm to give way"
        if at_limit and not has_saved:
            record_end(left, "failed", f"{why} before it could save anything new: raise it")
        elif not settings.requeue:
            record_end(left, "interrupted", f"{why}; hydra.launcher.requeue=true would have it go on")
        elif refusal := slurm_queue.requeue(job_id):
            record_end(left, "interrupted", f"{why}, and Slurm does not start it again: {refusal}")
        else:
            sys.stdout.write(f"{why}: started again later\n")


def _leads() -> bool:
    return int(os.environ.get("SLURM_PROCID", 0)) == 0


def _saved(runs: Sequence[Run]) -> list[int]:
    """When each run has last saved what it can go on from, in ns by the file system's clock; 0: never."""
    files = [run.last_checkpoint for run in runs]
    return [file.stat().st_mtime_ns if file.is_file() else 0 for file in files]


def _describe_processes() -> None:
    """Set the variables by which Lightning identifies the processes that Slurm has started."""
    from pytorch_lightning.plugins.environments import SLURMEnvironment

    slurm = SLURMEnvironment(auto_requeue=False)
    os.environ["MASTER_ADDR"] = slurm.main_address
    os.environ["MASTER_PORT"] = str(slurm.main_port)
    os.environ["NODE_RANK"] = str(slurm.node_rank())
    os.environ["LOCAL_RANK"] = str(slurm.local_rank())


def _join(job: Job) -> None:
    """Take part in the run that the first process leads and records."""
    from transferlab.training.runs import join_in

    join_in(job.config, job.run)
