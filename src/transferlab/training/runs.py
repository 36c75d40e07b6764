"""The verbs as Python functions: what the command does, in a notebook."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from transferlab.config.compose import compose_checked
from transferlab.config.rules.contradictions import warnings_about
from transferlab.config.schema import kind_of
from transferlab.run.errors import UserError
from transferlab.run.one_at_a_time import one_at_a_time
from transferlab.run.processes import is_worker, started_together, wait_for_leader
from transferlab.run.run_folder import Run
from transferlab.training.recorded_config import record_move, recorded_config, require_config


@dataclass(frozen=True)
class Member:
    """A run of a group: its checked config, its folder, and what to record of how it came about."""

    config: DictConfig
    run: Run
    choices: Mapping[str, str | None] | None = None
    warnings: Sequence[str] = ()


@one_at_a_time
def train(
    overrides: Sequence[str] = (), *, config_name: str = "train", config_dir: str | Path | None = None
) -> Run:
    """Train, test and record; `transferlab train OVERRIDES` in Python.

    Args:
        overrides: `group=option` and `key=value`, as on the command line.
        config_name: the primary config.
        config_dir: a folder with configs of yours, besides `./conf`.

    Returns:
        The finished run.

    Raises:
        UserError: a config, data or weights that cannot be used.

    >>> run = train(["strategy=feature_extraction", "data.shots_per_class=10"])  # doctest: +SKIP
    >>> run.result["test"]["accuracy"]  # doctest: +SKIP
    """
    composed = compose_checked(overrides, config_name=config_name, config_dir=config_dir)
    run = Run(composed.run_dir)
    if started_together() and not any(text.startswith("hydra.run.dir=") for text in overrides):
        raise UserError(
            "Several processes are started together, and each would choose a folder of its own for the run. "
            "Say which: hydra.run.dir=DIR."
        )
    if is_worker():
        wait_for_leader(run)
        join(run.path, allow=composed.config.allow)
        return run
    run.create()
    return run_in(composed.config, run, choices=composed.choices, warnings=composed.warnings)


def run_in(
    config: DictConfig,
    run: Run,
    *,
    choices: Mapping[str, str | None] | None = None,
    warnings: Sequence[str] = (),
    resume: bool = False,
) -> Run:
    """Run a checked config in a folder, holding its lock; `choices` are the options of the config groups."""
    with run.locked():
        if not resume and run.config_file.is_file():
            run.create()  # another process was in the folder since it was made: refuses
        _run(config, run, choices=choices, warnings=warnings, resume=resume)
    return run


def run_together(members: Sequence[Member]) -> None:
    """Run experiments that train heads on one frozen backbone together, each in its folder.

    Their configs differ in what the strategy and the seed say of the head alone. One that fails is recorded
    as failed, and the others go on. A group always starts from its beginning: a head's last bits may depend
    on which others it was trained with.

    Raises:
        UserError, KeyboardInterrupt: what ends all of them; recorded in each.
    """
    from transferlab.training.recorder import recorded
    from transferlab.training.train import train_together

    with contextlib.ExitStack() as stack:
        recorders = [
            stack.enter_context(
                recorded(m.config, m.run, choices=m.choices, warnings=m.warnings, quiet=n > 0)
            )
            for n, m in enumerate(members)
        ]
        train_together([member.config for member in members], recorders)


def _run(config: DictConfig, run: Run, **how: Any) -> None:
    """Do what the config's kind of run does, recorded from its beginning to its end."""
    from transferlab.training.recorder import recorded
    from transferlab.training.terminal import quiet_libraries

    quiet_libraries()
    with recorded(config, run, **how) as recorder:
        kind_of(config)(config, recorder, resume=how["resume"])


@one_at_a_time
def resume(path: str | Path, *, allow: Sequence[str] = (), moved: Sequence[str] = ()) -> Run:
    """Go on with a run that was cut short; the outcome is that of one left alone.

    Args:
        path: its folder.
        allow: the user's own modules that its config names.
        moved: where its data is now, see `overrides.moved_data`.

    Raises:
        UserError: no run there, or a config that does not fit this version of transferlab.
    """
    if Run(path).status == "finished":
        return Run(path)
    require_config(Run(path))
    if is_worker():
        join(path, allow=allow)
        return Run(path)
    run = Run(Path(path).resolve())
    with in_its_folder(run):
        config = recorded_config(run, allow, moved)
        if moved:
            record_move(config, run)
        return run_in(config, run, warnings=warnings_about(config), resume=True)


def join(path: str | Path, *, allow: Sequence[str] = ()) -> None:
    """Take part, as a further process, in a run that another process leads and records."""
    run = Run(Path(path).resolve())
    with in_its_folder(run):
        join_in(recorded_config(run, allow), run)


def join_in(config: DictConfig, run: Run) -> None:
    """The same with its checked config at hand."""
    _run(config, run, resume=True)


def in_its_folder(run: Run) -> contextlib.AbstractContextManager[None]:
    """Work in the folder that a run was started from, as far as it exists: its config's paths start there."""
    return in_folder(run.environment.get("folder"))


@contextlib.contextmanager
def in_folder(folder: str | None) -> Iterator[None]:
    """Work in this folder, if there is one and it exists."""
    here = Path.cwd()
    if folder and os.path.isdir(folder):  # noqa: PTH112 (a zero byte in it is no error)
        os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)
