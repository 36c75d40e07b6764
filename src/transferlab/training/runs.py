"""The verbs as Python functions: what the command does, in a notebook."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from transferlab.config.check import ConfigError, check
from transferlab.config.compose import compose_checked
from transferlab.config.older_configs import upgrade
from transferlab.config.overrides import allowed_and_rest
from transferlab.config.rules.contradictions import warnings_about
from transferlab.config.schema import kind_of
from transferlab.run.errors import UserError
from transferlab.run.one_at_a_time import one_at_a_time
from transferlab.run.processes import is_worker, started_together, wait_for_leader
from transferlab.run.run_folder import Run


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
def resume(path: str | Path, *, allow: Sequence[str] = ()) -> Run:
    """Go on with a run that was cut short; the outcome is that of one left alone.

    Args:
        path: its folder.
        allow: the user's own modules that its config names.

    Raises:
        UserError: no run there, or a config that does not fit this version of transferlab.
    """
    if Run(path).status == "finished":
        return Run(path)
    _require_config(Run(path))
    if is_worker():
        join(path, allow=allow)
        return Run(path)
    run = Run(Path(path).resolve())
    with in_its_folder(run):
        config = recorded_config(run, allow)
        return run_in(config, run, warnings=warnings_about(config), resume=True)


def join(path: str | Path, *, allow: Sequence[str] = ()) -> None:
    """Take part, as a further process, in a run that another process leads and records."""
    run = Run(Path(path).resolve())
    with in_its_folder(run):
        join_in(recorded_config(run, allow), run)


def join_in(config: DictConfig, run: Run) -> None:
    """The same with its checked config at hand."""
    _run(config, run, resume=True)


def _require_config(run: Run) -> None:
    if not run.config_file.is_file():
        raise UserError(f"{run.path}: this is not a run folder (it has no config.yaml).")


def in_its_folder(run: Run) -> contextlib.AbstractContextManager[None]:
    """Work in the folder that a run was started from, as far as it exists: its config's paths start there."""
    return in_folder(run.environment.get("folder"))


@contextlib.contextmanager
def in_folder(folder: str | None) -> Iterator[None]:
    """Work in this folder, if there is one and it exists."""
    here = Path.cwd()
    if folder and Path(folder).is_dir():
        os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)


def recorded_config(run: Run, allow: Sequence[str] = ()) -> DictConfig:
    """The config of a run, checked like any other: a file from elsewhere may not name any class."""
    _require_config(run)
    config = OmegaConf.load(run.config_file)
    assert isinstance(config, DictConfig)
    upgrade(config)
    return checked_record(config, run.config_file, allow)


def checked_record(config: DictConfig, file: Path, allow: Sequence[str] = ()) -> DictConfig:
    """A config that a file holds, with the permission to run one's own classes; raises `ConfigError`."""
    config["allow"] = list(allow)
    problems = check(config, given={"allow": allow}, files=[file])
    if problems:
        raise ConfigError(problems)
    return config


def evaluated_config(trained: Run, overrides: Sequence[str]) -> DictConfig:
    """The config of a run with what the command line says of data and device.

    `data=OPTION` takes all of the data's config from there. Without it `data.KEY=VALUE` changes the run's
    own; with `data.root` goes every path below it. Of a folder that holds a model alone, `data` and `trainer`
    as the command line and the defaults say.

    Raises:
        UserError: no model, an override of something else, or a config that does not fit the code.
    """
    if not trained.model_file.is_file():
        raise UserError(
            f"{trained.path}: there is no model.safetensors in it. Fix: give the folder of a run whose "
            "training has finished, or one that holds its model.safetensors and model.json."
        )
    allow, asked = allowed_and_rest(overrides)
    for text in asked:
        if text.lstrip("+").partition("=")[0].partition("/")[0].partition(".")[0] not in ("data", "trainer"):
            raise UserError(f"{text}: only data and trainer can be other ones than in the training.")
    of_data = [text for text in asked if not text.lstrip("+").startswith("trainer")]
    is_chosen = any(text.lstrip("+").startswith("data=") for text in of_data)
    allowing = f"allow=[{','.join(allow)}]"
    if trained.config_file.is_file():
        chosen = compose_checked([*of_data, allowing]).config.data if is_chosen else None
        changes = [text for text in asked if chosen is None or text not in of_data]
        return _config_of_run(trained, changes, chosen, allow)
    if not is_chosen:
        raise UserError(
            f"{trained.path}: a model without the config.yaml of its run does not say which data to evaluate "
            "it on. Fix: add data=OPTION, e.g. data=folder data.root=DIR."
        )
    return OmegaConf.masked_copy(compose_checked([*asked, allowing]).config, ["data", "trainer", "allow"])


def _config_of_run(
    trained: Run, changes: Sequence[str], data: DictConfig | None, allow: Sequence[str]
) -> DictConfig:
    """The config of a run with these changes, and other data where some is given."""
    config = OmegaConf.load(trained.config_file)
    assert isinstance(config, DictConfig)
    upgrade(config)
    # what it began with may be gone; now it begins with what it became
    config.backbone.weights, config.strategy.start_from = str(trained.path.resolve()), "model"
    for text in changes:
        _change(config, text)
    if data is None:
        return checked_record(config, trained.config_file, allow)
    two_domains = config.data.get("target") is not None and data.target is None
    # a strategy may have needed a target to train with; to be evaluated it does not
    config.data = OmegaConf.merge(data, {"target": data.source}) if two_domains else data
    config = checked_record(config, trained.config_file, allow)
    config.data = data
    return config


def _change(config: DictConfig, text: str) -> None:
    parsed = OverridesParser.create().parse_override(text)
    key, value = parsed.key_or_group, parsed.value()
    if OmegaConf.select(config, key.rpartition(".")[0]) is None:
        raise UserError(f"{text}: there is no {key.rpartition('.')[0]} in this run's config.")
    before = OmegaConf.select(config, key)
    OmegaConf.update(config, key, value, force_add=True)
    if key == "data.root" and before:
        _move(config.data, str(before), str(value))


def _move(node: DictConfig, before: str, after: str) -> None:
    """Put `after` where paths in a config begin with `before`, as `${data.root}` in the files would."""
    for key, value in node.items():
        if isinstance(value, DictConfig):
            _move(value, before, after)
        elif isinstance(value, str) and (value == before or value.startswith(f"{before}/")):
            node[key] = after + value[len(before) :]
