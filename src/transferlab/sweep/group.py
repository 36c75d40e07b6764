"""A group of jobs that train together: what its members record of it, and running it from the start.

The last bits of a head's weights may depend on what was trained beside it. So a group is run as a whole: if
it was cut short, all of its members are run again.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Sequence, Set
from pathlib import Path

from transferlab.run.run_folder import Run
from transferlab.sweep.job import Job
from transferlab.training import runs

FILE = "group.json"
IN_USE = frozenset({".lock", "log.txt"})  # files of a run folder that are in use when its run begins


def members_of(run: Run) -> list[Run]:
    """The runs that trained together with this one, itself included; none if it is on its own.

    Those whose folders have been deleted are left out.
    """
    return [member for member in recorded_members(run) if member.path.is_dir()]


def recorded_members(run: Run) -> list[Run]:
    """The same, with those whose folders have been deleted."""
    file = run.path / FILE
    if not file.is_file():
        return []
    names = json.loads(file.read_text(encoding="utf-8"))["members"]
    return [Run(run.path.parent / name) for name in names]


def run_group(jobs: Sequence[Job]) -> None:
    """Run a group from the start, in this process; earlier results of its members are deleted first.

    Raises:
        RunFolderError: another process works in one of the folders.
    """
    with contextlib.ExitStack() as locks:
        for job in jobs:
            locks.enter_context(job.run.locked())
        for job in jobs:
            start_anew(job.run, stays=IN_USE | {FILE, "config.yaml", "environment.json"})
        # whatever happens from here on, each member tells the others, and what it was
        for job in jobs:
            job.run.write_json(FILE, {"members": [other.run.path.name for other in jobs]})
        for job in jobs:
            _describe(job)
        runs.run_together([runs.Member(job.config, job.run, job.choices, job.warnings) for job in jobs])


def start_anew(run: Run, *, stays: Set[str]) -> None:
    """Delete what an earlier attempt has left; the result goes first, so that nothing half-deleted counts."""
    (run.path / "result.json").unlink(missing_ok=True)
    for file in sorted(run.path.iterdir()):
        if file.name in stays:
            continue
        if file.is_dir():
            shutil.rmtree(file)
        else:
            file.unlink()


def _describe(job: Job) -> None:
    """Write what a restart of the group needs of a member, before any of them has begun."""
    job.run.write_config(job.config)
    if not job.run.environment:  # else it knows already, and with how many threads the group began
        folder = {"folder": str(Path.cwd()), "choices": dict(job.choices)}
        job.run.write_json("environment.json", folder)
