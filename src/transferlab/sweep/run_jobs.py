"""One process of a sweep: a job, or a group of jobs that train together.

The last bits of a head's weights may depend on what was trained beside it. So a group is run as a whole: if
it was cut short, all of its members are run again.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Mapping, Sequence, Set
from pathlib import Path

from transferlab.run.own_files import is_plain_name
from transferlab.run.reading import read_json
from transferlab.run.record_shapes import GroupRecord
from transferlab.run.run_folder import Run, RunFolderError
from transferlab.sweep.job import Job, failure_recorded, recorded_job
from transferlab.training import runs
from transferlab.training.heads.sharing import groups_of
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


FILE = "group.json"
IN_USE = frozenset({".lock", "log.txt"})  # files of a run folder that are in use when its run begins


def members_of(run: Run) -> list[Run]:
    """The runs that trained together with this one, itself included; none if it is on its own.

    Those whose folders have been deleted are left out.

    Raises:
        RunFolderError: group.json is damaged, or names a run that has not trained with this one: to run the
            group again would delete it.
    """
    members = [member for member in recorded_members(run) if member.path.is_dir()]
    for member in members:
        is_one = run.path.resolve().name in _names_in(member) or _is_untouched(member)
        if member.path.is_symlink() or not is_one:
            raise RunFolderError(
                f"{run.path / FILE}: it names {member.path.name}, which has not trained together with this "
                f"run. Fix: delete {FILE}; the run is then on its own."
            )
    return members


def recorded_members(run: Run) -> list[Run]:
    """The same, with those whose folders have been deleted; whether they name this run is not looked at."""
    names = _names_in(run)
    if names and run.path.resolve().name not in names:
        raise RunFolderError(f"{run.path / FILE}: it does not name this run. Fix: delete {FILE}.")
    return [Run(run.path.parent / name) for name in names]


def _names_in(run: Run) -> list[str]:
    """The folders' names in a run's group.json, beside its own; none where there is no such file."""
    file = run.path / FILE
    if not file.is_file():
        return []
    names = read_json(file, GroupRecord)["members"]
    if names and all(map(is_plain_name, names)):
        return names
    raise RunFolderError(
        f"{file}: `members` must be a list of names of folders beside it. Fix: delete the file."
    )


def _is_untouched(run: Run) -> bool:
    """True if a group was killed before it began in this folder."""
    return {file.name for file in run.path.iterdir()} <= TRACES | IN_USE | {"environment.json"}


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
    """Jobs still to be run, grouped by process: here a child, on a cluster an array task.

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
