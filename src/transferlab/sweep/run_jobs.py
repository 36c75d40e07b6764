"""What one process of a sweep does: a job, or a group of jobs that train together."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from transferlab.run.run_folder import Run, RunFolderError
from transferlab.sweep.group import FILE, IN_USE, run_group, start_anew
from transferlab.sweep.job import Job, failure_recorded
from transferlab.training.runs import run_in

# What an attempt leaves that does not get as far as a config
TRACES = frozenset({"result.json", "error.txt"})


def run_jobs(jobs: Sequence[Job]) -> bool:
    """Run a job, or a group; go on with a job that was cut short. What goes wrong is recorded with each.

    Returns:
        False if nothing was done, because another process works in a folder.

    Raises:
        KeyboardInterrupt: the user or the system ended it; recorded as interrupted.
    """
    for job in jobs:
        job.run.path.mkdir(parents=True, exist_ok=True)
    keep_threads(jobs[0].run)
    try:
        with failure_recorded([job.run for job in jobs]):
            if len(jobs) > 1:
                run_group(jobs)
            else:
                _run_alone(jobs[0])
    except RunFolderError as error:
        sys.stderr.write(f"{error}\n")
        return False
    return True


def keep_threads(run: Run) -> None:
    """Compute with as many threads as when this run began: with others, sums end in other bits."""
    threads = run.environment.get("threads")
    if threads is not None:
        import torch

        from transferlab.data.loading.workers import all_cores

        torch.set_num_threads(max(1, min(int(threads), all_cores())))


def _run_alone(job: Job) -> None:
    run = job.run
    with run.locked():
        grouped = (run.path / FILE).is_file()  # its group is no more, and it had no checkpoints of its own
        begun = run.config_file.is_file() and not grouped
        if grouped or {file.name for file in run.path.iterdir()} <= TRACES | IN_USE:
            start_anew(run, stays=IN_USE)
        elif not begun:
            run.create()  # says that the folder holds something else
        run_in(job.config, run, choices=job.choices, warnings=job.warnings, resume=begun)
