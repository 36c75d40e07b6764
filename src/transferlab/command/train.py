"""`transferlab train`: one run, or with `-m` a sweep of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from omegaconf import DictConfig

from transferlab.config.compose import check_sweep, compose_checked
from transferlab.run.errors import UserError
from transferlab.run.folder import Run

HELP = """\
transferlab train [group=option ...] [key=value ...]

  transferlab train                                            digits, a small network, under a minute
  transferlab train data=folder data.root=DIR backbone=resnet18
  transferlab train strategy=dann data=digits_domains
  transferlab train -m strategy=fine_tune,feature_extraction seed=0,1,2

  -m, --multirun          every combination of comma-separated values, each a run of its own
  --cfg job               print the config and stop (also: --cfg hydra, --cfg all, --info)
  --config-dir DIR        a folder with configs of yours, besides ./conf
  --config-name NAME      another primary config than train
  hydra.run.dir=DIR       where the run goes (hydra.sweep.dir=DIR with -m)

Groups: backbone, data, strategy (with /unfreezing /objective /penalty /learning_rates), trainer, logger,
experiment; `transferlab list GROUP` shows the options, `transferlab train --cfg job` every key.
"""
_HYDRA_ONLY = ("--cfg", "-c", "--info", "-i", "--hydra-help", "--shell-completion", "-sc", "--resolve", "--package", "-p")


@dataclass
class _Arguments:
    """What stands on the command line."""

    overrides: list[str] = field(default_factory=list)
    config_name: str = "train"
    config_dir: str | None = None
    multirun: bool = False
    hydra: bool = False  # only Hydra can answer it


def run(arguments: Sequence[str]) -> int:
    """Train; the exit code is 0 when every run finished, 1 when a job of a sweep failed."""
    if any(argument in ("-h", "--help") for argument in arguments):
        sys.stdout.write(HELP)
        return 0
    given = _parse(list(arguments))
    if given.hydra:
        if "-sc" not in arguments and "--shell-completion" not in arguments:
            compose_checked(given.overrides, config_name=given.config_name, config_dir=given.config_dir)
        return _through_hydra(arguments, given)
    if given.multirun:
        for text in check_sweep(
            given.overrides, config_name=given.config_name, config_dir=given.config_dir
        ):
            sys.stdout.write(f"note: {text}\n")
        return _through_hydra(arguments, given)
    from transferlab.training.api import train

    finished = train(given.overrides, config_name=given.config_name, config_dir=given.config_dir)
    sys.stdout.write(f"{finished.path}\n")
    return 0


def _parse(arguments: list[str]) -> _Arguments:
    given = _Arguments()
    while arguments:
        argument = arguments.pop(0)
        name, equals, value = argument.partition("=")
        if name in ("--config-name", "-cn", "--config-dir", "-cd"):
            if not equals:
                if not arguments:
                    raise UserError(f"{name} needs a value.")
                value = arguments.pop(0)
            if name in ("--config-dir", "-cd"):
                given.config_dir = value
            else:
                given.config_name = value
        elif argument in ("-m", "--multirun"):
            given.multirun = True
        elif name in _HYDRA_ONLY:
            given.hydra = True
            if name in ("--cfg", "-c", "--package", "-p", "--info", "-i", "-sc", "--shell-completion") and arguments:
                if not equals and not arguments[0].startswith("-") and "=" not in arguments[0] or name == "-sc":
                    arguments.pop(0)
        elif argument.startswith("-"):
            raise UserError(f"{argument}: there is no such option. transferlab train --help lists them.")
        else:
            given.overrides.append(argument)
    return given


def _through_hydra(arguments: Sequence[str], given: _Arguments) -> int:
    """Let Hydra's own command line do it: printing configs, completion, sweeps."""
    import hydra

    from transferlab.config import places, resolvers

    resolvers.register()
    before = sys.argv
    sys.argv = [before[0], *arguments]
    jobs: list[Run] = []

    def task(config: DictConfig) -> None:
        from transferlab.sweep.job import run_job

        jobs.append(run_job(config))

    try:
        hydra.main(config_path=str(places.shipped()), config_name=given.config_name, version_base="1.3")(task)()
    finally:
        sys.argv = before
    if not jobs:
        return 0
    from transferlab.sweep.comparison import compare_sweep

    folder = compare_sweep(jobs)
    sys.stdout.write(f"{folder}\n")
    return 0 if all(job.status == "finished" for job in jobs) else 1
