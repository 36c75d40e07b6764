"""`transferlab job`: jobs of a sweep in a fresh process, from a file or standard input; `task`: by Slurm."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from transferlab.config.overrides import allowed_and_rest
from transferlab.run.errors import UserError
from transferlab.run.processes import is_worker
from transferlab.run.run_folder import Run
from transferlab.sweep.job import Job, failure_recorded, record_end
from transferlab.sweep.local.children import run_as_child, run_as_job


def run(arguments: Sequence[str]) -> int:
    """Run the jobs that a file, or standard input, describes: one, or several that train together."""
    if arguments:
        return _run_file(arguments)
    jobs = [Job.from_json(content) for content in json.load(sys.stdin)["jobs"]]

    def action() -> bool:
        from transferlab.sweep.run_jobs import run_jobs

        return run_jobs(jobs)

    return run_as_child(action)


def run_task(arguments: Sequence[str]) -> int:
    """Do what submitit does in a task: `... -m submitit.core._submit FOLDER`, but from a safe path."""
    from submitit.core.submission import submitit_main

    sys.argv = [sys.argv[0], arguments[-1]]
    submitit_main()
    return 0


def _run_file(arguments: Sequence[str]) -> int:
    """`transferlab job FILE [allow=[module,...]]`, for engines; the exit code is 0 if all have finished."""
    allow, files = allowed_and_rest(arguments)
    if len(files) != 1:
        raise UserError(f"transferlab job takes one file, not {len(files)}.")
    from transferlab.sweep.shell.job_file import described_jobs, described_runs
    from transferlab.training.runs import in_folder, join_in

    file = Path(files[0]).resolve()
    runs = described_runs(file)

    def action() -> bool:
        from transferlab.sweep.run_jobs import run_jobs

        if all(run.status == "finished" for run in runs):
            return True
        with failure_recorded(runs):
            jobs, folder = described_jobs(file, allow)
            with in_folder(folder):
                if not is_worker():
                    return run_jobs(jobs) or _nothing_done(runs)
                if len(jobs) == 1:  # a group trains in the leading process alone
                    join_in(jobs[0].config, jobs[0].run)
        return True

    code = run_as_job(action)
    return code if code or is_worker() else int(any(run.status != "finished" for run in runs))


def _nothing_done(runs: Sequence[Run]) -> bool:
    """Record, where no process works in a folder, that it holds something else; always false."""
    silent = [run for run in runs if run.recorded_status == "missing" and not run.is_in_use]
    record_end(silent, "failed", "its folder holds something else. Fix: empty it, then go on with the sweep")
    return False
