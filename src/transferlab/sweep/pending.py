"""From the jobs of a sweep to what its processes run: one job each, or one group each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from transferlab.sweep.group import FILE, members_of
from transferlab.sweep.job import Job, recorded_job
from transferlab.training.heads.sharing import groups_of


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
