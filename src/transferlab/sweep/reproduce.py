"""Run what a folder records once more, in new folders: a run by itself, or the group that it trained in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from omegaconf import OmegaConf

from transferlab.data.splits import arrange
from transferlab.run.run_folder import Run
from transferlab.sweep.job import Job, recorded_job
from transferlab.sweep.run_jobs import keep_threads, members_of, recorded_members, run_group
from transferlab.training import runs
from transferlab.training.build import make_data
from transferlab.training.recorded_config import recorded_config
from transferlab.training.run_record import current_inputs, recorded_inputs, split_differences


def changes_since(run: Run, *, allow: Sequence[str] = (), moved: Sequence[str] = ()) -> list[str]:
    """Changes since a run began, a sentence each: data, weights, the group; arguments as of `reproduce`."""
    with runs.in_its_folder(run):
        config = recorded_config(run, allow, moved)
        splits = arrange(make_data(config))
        now, before = current_inputs(config.backbone, splits), recorded_inputs(run)
    changes = []
    if before.get("data", now["data"]) != now["data"]:
        changes += split_differences(splits, run) or ["data: the contents of images have changed."]
    if before.get("backbone.weights", now["backbone.weights"]) != now["backbone.weights"]:
        changes.append("backbone.weights: not the same weights as then.")
    if not before:
        changes.append(
            f"{run.path} does not say what it has read (no inputs.json), so nothing can be said of that."
        )
    if gone := len(recorded_members(run)) - len(members_of(run)):
        changes.append(
            f"{gone} of the runs that it trained with are deleted: without them its last bits may differ."
        )
    return changes


def reproduce(
    run: Run, into: Path, *, allow: Sequence[str] = (), moved: Sequence[str] = ()
) -> list[tuple[Run, Run]]:
    """Run a recorded config again, in its seeds and with as many threads; a member of a group with all of it.

    Its loggers are left out.

    Args:
        run: finished.
        into: a new folder; of a group, a folder for each member in it.
        allow: the user's own modules that its config names.
        moved: where its data is now.

    Returns:
        Each run and its reproduction, `run` first.

    Raises:
        UserError: its config does not fit this version, or the reproduction failed.
    """
    run, into = Run(run.path.resolve()), into.resolve()
    members = members_of(run) or [run]
    grouped = len(members) > 1
    pairs = [(member, Run(into / member.path.name if grouped else into)) for member in members]
    keep_threads(run)
    with runs.in_its_folder(run):
        jobs = [_again(member, new, allow, moved) for member, new in pairs]
        for job in jobs:
            job.run.create()
        if grouped:
            run_group(jobs)
        else:
            [job] = jobs
            runs.run_in(job.config, job.run, choices=job.choices, warnings=job.warnings)
    return sorted(pairs, key=lambda pair: pair[0].path != run.path)


def _again(run: Run, new: Run, allow: Sequence[str], moved: Sequence[str]) -> Job:
    job = recorded_job(run, allow, moved)
    OmegaConf.update(job.config, "logger", {}, merge=False)
    return replace(job, run=new)
