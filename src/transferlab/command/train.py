"""`transferlab train`: one run, or with `-m` a sweep of them."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from omegaconf import DictConfig

from transferlab.command.show import show
from transferlab.config.compose import compose_checked
from transferlab.config.multirun import check_sweep
from transferlab.run.errors import UserError
from transferlab.run.run_folder import Run

HELP = """\
transferlab train [group=option ...] [key=value ...]

  transferlab train                                            digits, a small network, under a minute
  transferlab train data=folder data.root=DIR backbone=resnet18
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
_WITH_VALUE = {
    "--cfg": "cfg",
    "-c": "cfg",
    "--package": "package",
    "-p": "package",
    "--config-name": "config_name",
    "-cn": "config_name",
    "--config-dir": "config_dir",
    "-cd": "config_dir",
}
_FOR_HYDRA = ("--info", "-i", "--hydra-help", "--shell-completion", "-sc")


@dataclass
class _Arguments:
    """What stands on the command line."""

    overrides: list[str] = field(default_factory=list)
    config_name: str = "train"
    config_dir: str | None = None
    multirun: bool = False
    cfg: str | None = None
    package: str | None = None
    resolve: bool = False


def run(arguments: Sequence[str]) -> int:
    """Train; the exit code is 0 when every run finished, 1 when a job of a sweep failed."""
    if any(argument in ("-h", "--help") for argument in arguments):
        sys.stdout.write(HELP)
        return 0
    if any(argument.partition("=")[0] in _FOR_HYDRA for argument in arguments):
        _hydra(arguments, config_name="train", task=None)
        return 0
    given = _parse(list(arguments))
    if given.cfg is not None:
        composed = compose_checked(
            given.overrides, config_name=given.config_name, config_dir=given.config_dir
        )
        sys.stdout.write(show(composed, given.cfg, package=given.package, resolve=given.resolve))
        return 0
    if given.multirun:
        return _sweep(given)
    from transferlab.run.processes import is_worker
    from transferlab.training.runs import train

    finished = train(given.overrides, config_name=given.config_name, config_dir=given.config_dir)
    if not is_worker():
        sys.stdout.write(f"{finished.path}\n")
    return 0


def _parse(arguments: list[str]) -> _Arguments:
    given = _Arguments()
    while arguments:
        argument = arguments.pop(0)
        name, equals, value = argument.partition("=")
        if name in _WITH_VALUE:
            if not equals:
                if not arguments or arguments[0].startswith("-"):
                    raise UserError(f"{name} needs a value. transferlab train --help tells which.")
                value = arguments.pop(0)
            setattr(given, _WITH_VALUE[name], value)
        elif argument in ("-m", "--multirun"):
            given.multirun = True
        elif argument == "--resolve":
            given.resolve = True
        elif argument.startswith("-"):
            mend = get_close_matches(
                name, [*_WITH_VALUE, *_FOR_HYDRA, "--multirun", "--resolve"], n=1, cutoff=0.75
            )
            hint = f"Did you mean {mend[0]}?" if mend else "transferlab train --help lists them."
            raise UserError(f"{argument}: there is no such option. {hint}")
        else:
            given.overrides.append(argument)
    if given.multirun and given.cfg is not None:
        raise UserError(
            "--cfg shows the config of one run, and -m asks for several. Leave one of the two out."
        )
    return given


def _sweep(given: _Arguments) -> int:
    """Run every combination, each in a folder of its own, then compare them."""
    sweep = check_sweep(given.overrides, config_name=given.config_name, config_dir=given.config_dir)
    for text in sweep.warnings:
        sys.stdout.write(f"note: {text}\n")
    from transferlab.sweep.hydra.sweep_task import Task

    task = Task(_as_typed(given))
    further = [] if given.config_dir is None else [f"--config-dir={given.config_dir}"]
    into = [f"hydra.sweep.dir='{sweep.folder}'"]
    try:
        _hydra(["--multirun", *further, *sweep.overrides, *into], config_name=given.config_name, task=task)
    except KeyboardInterrupt:
        sys.stderr.write(f"To go on: transferlab resume {shlex.quote(str(sweep.folder))}\n")
        raise
    # a launcher of others may have run the jobs elsewhere: then the folder tells
    runs = task.plan.runs or [Run(result.parent) for result in sweep.folder.glob("*/result.json")]
    return conclude(sweep.folder, runs) if runs else 0


def conclude(folder: Path, runs: Sequence[Run]) -> int:
    """Compare what is in a sweep's folder; the exit code is 0 if these runs of it have finished."""
    from transferlab.report.comparison import compare_runs
    from transferlab.sweep.gather import gather
    from transferlab.sweep.sweep_record import left_behind_lines

    compare_runs(gather([folder]), into=folder)
    sys.stdout.writelines(f"{line}\n" for line in left_behind_lines(folder))
    sys.stdout.write(f"{folder}\n")
    return 0 if all(run.status == "finished" for run in runs) else 1


def _as_typed(given: _Arguments) -> str:
    """The command of a sweep, to be repeated in a shell."""
    options = [] if given.config_name == "train" else ["--config-name", given.config_name]
    options += [] if given.config_dir is None else ["--config-dir", given.config_dir]
    return shlex.join(["transferlab", "train", "-m", *options, *given.overrides])


def _hydra(arguments: Sequence[str], *, config_name: str, task: Callable[[DictConfig], None] | None) -> None:
    """Let Hydra's own command line do it: sweeps, completion, information on a config."""
    import hydra

    from transferlab.config import places, resolvers

    def nothing(config: DictConfig) -> None:
        """For what Hydra answers without running anything."""

    resolvers.register()
    before = sys.argv
    sys.argv = [before[0], *arguments]
    try:
        hydra.main(config_path=str(places.shipped()), config_name=config_name, version_base="1.3")(
            task or nothing
        )()
    finally:
        sys.argv = before
