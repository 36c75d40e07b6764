"""Go on with what was cut short: a run by itself or with the group that it trains in, or a whole sweep."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from transferlab.config.annotation import plain
from transferlab.config.check import ConfigError
from transferlab.config.multirun import problems_of_launcher
from transferlab.config.overrides import moved_data, values_below
from transferlab.config.resolvers import plain_config
from transferlab.config.rules.hydra_rules import SHELL
from transferlab.run.errors import UserError
from transferlab.run.run_folder import Run
from transferlab.sweep.job import Job, failure_recorded, recorded_job
from transferlab.sweep.job_inputs import inputs_of
from transferlab.sweep.plan import Plan
from transferlab.sweep.run_jobs import keep_threads, members_of, run_group
from transferlab.sweep.sweep_record import FILE, SweepRecord
from transferlab.training import runs
from transferlab.training.recorded_config import record_move

_LOCAL = "hydra_plugins.transferlab_plugins.LocalLauncher"
_SLURM = "hydra_plugins.transferlab_plugins.SlurmLauncher"
_COMMAND = "hydra_plugins.transferlab_plugins.CommandLauncher"
LAUNCHER = "hydra.launcher"


def resume(path: str | Path, *, allow: Sequence[str] = (), overrides: Sequence[str] = ()) -> Run:
    """Go on with a run from its last checkpoint; a group is run again as a whole, in this process.

    How each member of a group ended is in its folder.

    Args:
        path: the run's folder.
        allow: the user's own modules that its config names.
        overrides: where its data is now.

    Raises:
        UserError: no run there, a config that does not fit this version, or a run by itself has failed again.
    """
    if of_launcher := next((text for text in overrides if text.startswith(f"{LAUNCHER}.")), None):
        raise UserError(f"{of_launcher}: {path} is a run, which has no launcher. Fix: leave it out.")
    moved = moved_data(overrides)
    run = Run(Path(path).resolve())
    keep_threads(run)
    members = members_of(run)
    if len(members) < 2:
        return runs.resume(path, allow=allow, moved=moved)
    with runs.in_its_folder(run), failure_recorded(members):
        jobs = [recorded_job(member, allow, moved) for member in members]
        inputs_of(jobs[0].config)  # before results are deleted that could not be had again
        for job in jobs if moved else ():
            record_move(job.config, job.run)
        run_group(jobs)
    return run


def resume_sweep(folder: Path, *, allow: Sequence[str] = (), overrides: Sequence[str] = ()) -> list[Run]:
    """Go on with a sweep as its folder records it, by the launcher that it began with.

    What has finished stays, what was cut short goes on, what is missing or has failed is run. Config files
    are not read again.

    Args:
        folder: of the sweep.
        allow: the user's own modules that its configs name.
        overrides: where its data is now, and settings of the launcher (`hydra.launcher.KEY=VALUE`). Lines of
            shell and further options of a scheduler are taken from here alone, never from the record.

    Returns:
        The runs of all its jobs.

    Raises:
        UserError: no sweep there, or one with a launcher of others.
        KeyboardInterrupt: the user ended it; no process is left.
    """
    folder = folder.resolve()
    record = SweepRecord(folder)
    of_launcher = [text for text in overrides if text.startswith(f"{LAUNCHER}.")]
    launcher = _launcher(record, values_below(LAUNCHER, of_launcher))
    moved = moved_data([text for text in overrides if text not in of_launcher])
    plan, planned = Plan(folder=folder), list[Job | Run]()
    with runs.in_folder(record.about.get("folder")):
        for entry in list(record.jobs.values()):
            planned.append(plan.add_recorded(entry, allow, moved))
        jobs = [each for each in planned if isinstance(each, Job)]
        for job in jobs if moved else ():
            if job.run.config_file.is_file():  # of the same data, as its folder's name says
                job.run.write_config(job.config)
        _note_skipped_jobs(record, num_unfit=len(planned) - len(jobs))
        _launch(launcher, jobs, folder)
    return [each.run if isinstance(each, Job) else each for each in planned]


def _launcher(record: SweepRecord, typed: Mapping[str, Any]) -> dict[str, Any]:
    """The launcher's settings: the recorded ones, changed by those that were typed.

    Raises:
        UserError: no sweep is recorded, its launcher cannot continue it, or it would run recorded lines
            of shell.
    """
    about = record.about
    if not about or not record.jobs:
        raise UserError(f"{record.folder}: there is no sweep (no sweep.json with jobs beside it).")
    file = record.folder / FILE
    settings: dict[str, Any] = dict(plain_config(about.get("launcher"), f"{file}: launcher"))
    target = str(settings.get("_target_"))
    if target not in (_LOCAL, _SLURM, _COMMAND):
        raise UserError(
            f"{record.folder}: its jobs were started by {target}, which cannot continue it. Fix: repeat the "
            f"command with hydra.sweep.dir={record.folder}: {about.get('command')}"
        )
    for key in SHELL:
        recorded = OmegaConf.to_container(OmegaConf.create({key: settings.get(key) or []}))[key]  # type: ignore
        if recorded and key not in typed:
            raise UserError(
                f"{file}: launcher.{key}={plain(recorded)} would reach a shell, and a record cannot ask for "
                f"that. Fix: if you know these lines, add 'hydra.launcher.{key}={plain(recorded)}', else "
                f"hydra.launcher.{key}={'null' if isinstance(recorded, str) else '[]'}"
            )
    made = OmegaConf.create({**settings, **typed})
    if problems := problems_of_launcher(made):
        raise ConfigError(problems)
    return OmegaConf.to_container(made)  # type: ignore[return-value]


def _note_skipped_jobs(record: SweepRecord, *, num_unfit: int) -> None:
    """Report the skipped jobs and the command that runs them."""
    again = f"repeat the command with hydra.sweep.dir={record.folder}: {record.about.get('command')}"
    if num_unfit:
        sys.stdout.write(f"note: {num_unfit} of the jobs cannot be run as they are recorded; {again}\n")
    sweeper = record.about.get("sweeper")
    if not str(sweeper).startswith("hydra._internal.core_plugins."):
        sys.stdout.write(
            f"note: {sweeper} chooses jobs while it goes; those not chosen yet are not run here: {again}\n"
        )


def _launch(launcher: Mapping[str, Any], jobs: Sequence[Job], folder: Path) -> None:
    if launcher["_target_"] == _SLURM:
        from transferlab.sweep.slurm import slurm_launcher as slurm_launch
        from transferlab.sweep.slurm.slurm_settings import SlurmSettings

        asked = {name: value for name, value in launcher.items() if not name.startswith("_")}
        slurm_launch.launch(jobs, SlurmSettings(**asked), folder)
    elif launcher["_target_"] == _COMMAND:
        from transferlab.sweep.shell import command_launcher
        from transferlab.sweep.shell.command_settings import CommandSettings

        asked = {name: value for name, value in launcher.items() if not name.startswith("_")}
        command_launcher.launch(jobs, CommandSettings(**asked), folder)
    else:
        from transferlab.sweep.local.local_launcher import launch

        launch(jobs, jobs_at_once=launcher.get("jobs_at_once", "auto"))
