"""`transferlab job`: jobs of a sweep in a fresh process, described as JSON; `transferlab task`: by Slurm."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from transferlab.sweep.job import Job
from transferlab.sweep.local.children import run_as_child


def run(arguments: Sequence[str]) -> int:
    """Run the jobs that standard input describes: one, or several that train together."""
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
