"""Groups of jobs: which are pending, what members of a group record of it, and running it from the start.

The last bits of a head's weights may depend on what was trained beside it. So a group is run as a whole: if
it was cut short, all of its members are run again.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Mapping, Sequence, Set
from pathlib import Path

from transferlab.run.run_folder import Run
from transferlab.sweep.job import Job, recorded_job
from transferlab.training import runs
from transferlab.training.heads.sharing import groups_of

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
        # from here on each member's folder names the others
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
    if (
        not job.run.environment
    ):  # else it is there already, with the number of threads of the group's beginning
        folder = {"folder": str(Path.cwd()), "choices": dict(job.choices)}
        job.run.write_json("environment.json", folder)


def pending_groups(jobs: Sequence[Job]) -> list[list[Job]]:
    """What is still to be run, as the jobs of one process each: here a child, on a cluster an array task.

    Jobs that have finished are left out, unless they belong to a group of which others have not: then the
    group is run again as it was recorded, also those of its members that this sweep does not ask for.
    """
    asked = {job.run.path: job for job in jobs}
    groups: list[list[Job]] = []
    new: list[Job] = []
    placed: set[Path] = set()
    for path, job in asked.items():
        if path in placed:
            continue
        group = _recorded_group(job, asked)
        if job.run.status == "finished" and not group:
            continue
        if group:
            placed |= {member.run.path for member in group}
            if any(member.run.status != "finished" for member in group):
                groups.append(group)
        elif job.run.config_file.is_file() and not (job.run.path / FILE).is_file():
            groups.append([job])  # it was cut short by itself, and goes on by itself
        else:
            new.append(job)
    groups += [[new[position] for position in group] for group in groups_of([job.config for job in new])]
    order = {path: position for position, path in enumerate(asked)}
    return sorted(groups, key=lambda group: min(order.get(job.run.path, len(order)) for job in group))


def _recorded_group(job: Job, asked: Mapping[Path, Job]) -> list[Job]:
    """The group that a job has been run in, if its members can still train together; else nothing."""
    allow = job.config.get("allow") or []
    members = [run for run in members_of(job.run) if run.path in asked or run.config_file.is_file()]
    group = [asked.get(run.path) or recorded_job(run, allow) for run in members]
    return group if len(group) > 1 and len(groups_of([member.config for member in group])) == 1 else []
