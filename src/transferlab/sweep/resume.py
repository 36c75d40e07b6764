"""Go on with what was cut short: a run by itself or with the group that it trains in, or a whole sweep."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf

from transferlab.config.annotation import plain
from transferlab.config.check import ConfigError
from transferlab.config.config_files import plain_config
from transferlab.config.multirun import problems_of_launcher
from transferlab.config.rules.hydra_rules import SHELL
from transferlab.run.errors import UserError
from transferlab.run.run_folder import Run
from transferlab.sweep.job import Job, failure_recorded, recorded_job
from transferlab.sweep.job_inputs import inputs_of
from transferlab.sweep.plan import Plan
from transferlab.sweep.run_jobs import keep_threads, members_of, run_group
from transferlab.sweep.sweep_record import FILE, SweepRecord
from transferlab.training import runs

_LOCAL = "hydra_plugins.transferlab_plugins.LocalLauncher"
_SLURM = "hydra_plugins.transferlab_plugins.SlurmLauncher"


def resume(path: str | Path, *, allow: Sequence[str] = ()) -> Run:
    """Go on with a run from its last checkpoint; a group is run again as a whole, in this process.

    How each member of a group ended is in its folder.

    Args:
        path: the run's folder.
        allow: the user's own modules that its config names.

    Raises:
        UserError: no run there, a config that does not fit this version, or a run by itself has failed again.
    """
    run = Run(Path(path).resolve())
    keep_threads(run)
    members = members_of(run)
    if len(members) < 2:
        return runs.resume(path, allow=allow)
    with runs.in_its_folder(run), failure_recorded(members):
        jobs = [recorded_job(member, allow) for member in members]
        inputs_of(jobs[0].config)  # before results are deleted that could not be had again
        run_group(jobs)
    return run


def resume_sweep(folder: Path, *, allow: Sequence[str] = (), overrides: Sequence[str] = ()) -> list[Run]:
    """Go on with a sweep as its folder records it, by the launcher that it began with.

    What has finished stays, what was cut short goes on, what is missing or has failed is run. Config files
    are not read again.

    Args:
        folder: of the sweep.
        allow: the user's own modules that its configs name.
        overrides: of settings of the launcher: `hydra.launcher.KEY=VALUE`. Lines of shell and further options
            of a scheduler are taken from here alone, never from the record.

    Returns:
        The runs of all its jobs.

    Raises:
        UserError: no sweep there, or one with a launcher of others.
        KeyboardInterrupt: the user ended it; no process is left.
    """
    folder = folder.resolve()
    record = SweepRecord(folder)
    launcher = _launcher(record, overrides)
    plan, planned = Plan(folder=folder), list[Job | Run]()
    with runs.in_folder(record.about.get("folder")):
        for entry in list(record.jobs.values()):
            planned.append(plan.add_recorded(entry, allow))
        jobs = [each for each in planned if isinstance(each, Job)]
        _note_skipped_jobs(record, num_unfit=len(planned) - len(jobs))
        _launch(launcher, jobs, folder)
    return [each.run if isinstance(each, Job) else each for each in planned]


def _launcher(record: SweepRecord, overrides: Sequence[str]) -> dict[str, Any]:
    """The launcher's settings: the recorded ones, changed by the command line.

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
    if target not in (_LOCAL, _SLURM):
        raise UserError(
            f"{record.folder}: its jobs were started by {target}, which cannot continue it. Fix: repeat the "
            f"command with hydra.sweep.dir={record.folder}: {about.get('command')}"
        )
    typed = dict(map(_setting, overrides))
    for key in SHELL:
        recorded = OmegaConf.to_container(OmegaConf.create({key: settings.get(key) or []}))[key]  # type: ignore
        if recorded and key not in typed:
            raise UserError(
                f"{file}: launcher.{key}={plain(recorded)} would reach a shell, and a record cannot ask for "
                f"that. Fix: if you know these lines, add 'hydra.launcher.{key}={plain(recorded)}', else "
                f"hydra.launcher.{key}=[]"
            )
    made = OmegaConf.create(settings | typed)
    if problems := problems_of_launcher(made):
        raise ConfigError(problems)
    return OmegaConf.to_container(made)  # type: ignore[return-value]


def _setting(text: str) -> tuple[str, Any]:
    """Key and value of `hydra.launcher.KEY=VALUE`."""
    try:
        parsed = OverridesParser.create().parse_override(text)
    except HydraException:
        parsed = None
    name = parsed.key_or_group.removeprefix("hydra.launcher.") if parsed else ""
    if parsed is None or parsed.key_or_group == name or "." in name or name.startswith("_"):
        raise UserError(f"{text}: to resume a sweep takes hydra.launcher.KEY=VALUE and allow=[MODULE] alone.")
    return name, parsed.value()


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
    else:
        from transferlab.sweep.local.local_launcher import launch

        launch(jobs, jobs_at_once=launcher.get("jobs_at_once", "auto"))
