"""`transferlab train`: one run, or with `-m` a sweep of them."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from transferlab.command.arguments import options_and_rest
from transferlab.config.compose import Composed, compose_checked
from transferlab.config.multirun import check_sweep
from transferlab.config.overrides import did_you_mean, quoted
from transferlab.run.errors import UserError
from transferlab.run.printable import printable, printable_lines
from transferlab.run.processes import is_worker
from transferlab.run.run_folder import Run, RunFolderError

HELP = """\
transferlab train [group=option ...] [key=value ...]

  transferlab train                                            digits, a small network, under a minute
  transferlab train data=folder data.root=DIR
  transferlab train strategy=dann data=digits_domains
  transferlab train -m strategy=fine_tune,feature_extraction seed=0,1,2

  -m, --multirun          every combination of comma-separated values, each a run of its own
  --cfg job               print the config and stop (also: --cfg hydra, --cfg all)
  --resolve               with --cfg: each ${...} replaced by its value
  --package KEY           with --cfg: this part alone, e.g. strategy.objective
  --info defaults-tree    which file brings what (Hydra's other words for --info work too)
  --config-dir DIR        a folder with configs of yours, besides ./conf
  --config-name NAME      another primary config than train
  hydra.run.dir=DIR       where the run goes (hydra.sweep.dir=DIR with -m: repeated, it does what is left)
  hydra.launcher.jobs_at_once=N   with -m: processes beside each other; auto unless said

Groups: backbone, data, strategy (with /unfreezing /objective /penalty /learning_rates), trainer, logger,
experiment; `transferlab list GROUP` shows the options, `transferlab train --cfg job` every key.
"""
_OPTIONS = {
    **dict.fromkeys(("--multirun", "--resolve"), ""),
    **{"--cfg": "job", "--package": "KEY", "--config-name": "NAME", "--config-dir": "DIR"},
}
_SHORT = {"-m": "--multirun", "-c": "--cfg", "-p": "--package", "-cn": "--config-name", "-cd": "--config-dir"}
_FOR_HYDRA = ("--info", "-i", "--hydra-help", "--shell-completion", "-sc")
_SHOWN = ("job", "hydra", "all")


def run(arguments: Sequence[str]) -> int:
    """Train; the exit code is 0 when every run finished, 1 when a job of a sweep failed."""
    for_hydra = {argument.partition("=")[0] for argument in arguments} & set(_FOR_HYDRA)
    if for_hydra:
        if not for_hydra & {"--shell-completion", "-sc"}:  # which composes nothing that it would run
            _check_before_hydra(arguments)
        _hydra(arguments, config_name="train", task=None)
        return 0
    takes = _OPTIONS | dict.fromkeys(_FOR_HYDRA, "")
    options, overrides = options_and_rest(arguments, takes, verb="train", short=_SHORT)
    config_name, config_dir = options.get("--config-name", "train"), options.get("--config-dir")
    if "--cfg" in options and "--multirun" in options:
        raise UserError(
            "--cfg shows the config of one run, and -m asks for several. Leave one of the two out."
        )
    if "--cfg" in options:
        composed = compose_checked(overrides, config_name=config_name, config_dir=config_dir)
        sys.stdout.write(_shown(composed, options["--cfg"], options.get("--package"), "--resolve" in options))
        return 0
    if "--multirun" in options:
        return _sweep(overrides, config_name, config_dir)
    from transferlab.training.runs import train

    finished = train(overrides, config_name=config_name, config_dir=config_dir)
    if not is_worker():
        sys.stdout.write(f"{finished.path}\n")
    return 0


def _check_before_hydra(arguments: Sequence[str]) -> None:
    """Refuse what our rules forbid before Hydra composes it by its own; raises `ConfigError`."""
    value_of = dict(pairwise(arguments)) | dict(each.split("=", 1) for each in arguments if "=" in each)
    compose_checked(
        [each for each in arguments if "=" in each and not each.startswith("-")],
        config_name=value_of.get("--config-name") or value_of.get("-cn") or "train",
        config_dir=value_of.get("--config-dir") or value_of.get("-cd"),
    )


def _shown(composed: Composed, what: str, package: str | None, resolve: bool) -> str:
    """A config as YAML: of the experiment (`job`), Hydra's own part (`hydra`), `all`; or one key of it."""
    if what not in _SHOWN:
        raise UserError(f"--cfg {what}: it takes {', '.join(_SHOWN)}.{did_you_mean(what, _SHOWN)}")
    job = composed.config if resolve else composed.written
    content: dict[str, Any] = {str(key): job._get_node(key) for key in job} if what != "hydra" else {}
    if what != "job":
        content["hydra"] = composed.hydra
    part: Any = OmegaConf.create(content)
    header = ""
    if package is not None:
        part, header = OmegaConf.select(part, package), f"# @package {package}\n"
        if not OmegaConf.is_config(part):
            raise UserError(f"--package={package}: there is no such part of the config.")
    return header + OmegaConf.to_yaml(part, resolve=resolve and what == "job")


def _sweep(overrides: Sequence[str], config_name: str, config_dir: str | None) -> int:
    """Run every combination, each in a folder of its own, then compare them."""
    sweep = check_sweep(overrides, config_name=config_name, config_dir=config_dir)
    for text in sweep.warnings:
        sys.stdout.write(f"note: {printable_lines(text)}\n")
    try:  # here, as Hydra would end in a trace
        sweep.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(
            f"{sweep.folder} cannot be created: {error.strerror}. Fix: hydra.sweep.dir=DIR"
        ) from error
    from transferlab.sweep.hydra_sweep import Task

    named = [] if config_name == "train" else ["--config-name", config_name]
    further = [] if config_dir is None else ["--config-dir", config_dir]
    task = Task(shlex.join(["transferlab", "train", "-m", *named, *further, *overrides]))
    into = [f"hydra.sweep.dir={quoted(str(sweep.folder))}"]
    try:
        _hydra(["--multirun", *further, *sweep.overrides, *into], config_name=config_name, task=task)
    except KeyboardInterrupt:
        sys.stderr.write(f"To go on: transferlab resume {shlex.quote(str(sweep.folder))}\n")
        raise
    # a launcher of others may have run the jobs elsewhere: then the folder shows them
    runs = task.plan.runs or [Run(result.parent) for result in sweep.folder.glob("*/result.json")]
    return conclude(sweep.folder, runs) if runs else 0


def conclude(folder: Path, runs: Sequence[Run]) -> int:
    """Compare what is in a sweep's folder; the exit code is 0 if these runs of it have finished."""
    from transferlab.report.comparison_tables import compare_runs
    from transferlab.sweep.gather import gather
    from transferlab.sweep.sweep_record import left_behind_lines

    compare_runs(gather([folder]), into=folder)
    sys.stdout.writelines(f"{printable(line)}\n" for line in left_behind_lines(folder))
    sys.stdout.write(f"{folder}\n")
    return 0 if all(run.status == "finished" for run in runs) else 1


def _hydra(arguments: Sequence[str], *, config_name: str, task: Callable[[DictConfig], None] | None) -> None:
    """Let Hydra's own command line do it: sweeps, completion, information on a config."""
    import hydra

    from transferlab.config import config_files, resolvers

    def nothing(config: DictConfig) -> None:
        """For what Hydra answers without running anything."""

    before = sys.argv
    sys.argv = [before[0], *arguments]
    try:
        with resolvers.only_known():
            hydra.main(config_path=str(config_files.shipped()), config_name=config_name, version_base="1.3")(
                task or nothing
            )()
    finally:
        sys.argv = before
