"""Configs that run folders hold: checked like any other, for other data, or for data that has moved."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from transferlab.config.check import ConfigError, resolved
from transferlab.config.compose import compose_checked
from transferlab.config.overrides import allowed_and_rest, key_and_value
from transferlab.config.resolvers import plain_config, read_recorded
from transferlab.config.rules.contradictions import MOVING
from transferlab.run.errors import UserError
from transferlab.run.older_configs import upgrade
from transferlab.run.own_files import require_own_files
from transferlab.run.printable import printable
from transferlab.run.processes import is_worker
from transferlab.run.run_folder import Run


def require_config(run: Run) -> None:
    """Raise `UserError` for a folder that no run has begun in."""
    if not run.config_file.is_file():
        raise UserError(f"{run.path}: this is not a run folder (it has no config.yaml).")


def recorded_config(run: Run, allow: Sequence[str] = (), moved: Sequence[str] = ()) -> DictConfig:
    """The config of a run, checked like any other: a file from elsewhere may not name any class.

    Args:
        run: that has begun.
        allow: the user's own modules that it names.
        moved: where its data is now, see `overrides.moved_data`.
    """
    require_config(run)
    require_own_files(run.path)
    config = read_recorded(run.config_file)
    upgrade(config)
    for text in moved:
        change(config, text)
    return checked_record(config, run.config_file, allow)


def record_move(config: DictConfig, run: Run) -> None:
    """Write the config of a run whose data has moved; raises `UserError` where it is other data."""
    from transferlab.data.splits import arrange
    from transferlab.training.build import make_data
    from transferlab.training.run_record import require_same_data

    require_same_data(arrange(make_data(config)), run)
    run.write_config(config)


def checked_record(
    config: Any, file: Path, allow: Sequence[str] = (), *, typed: Collection[str] = ()
) -> DictConfig:
    """A config that a file holds, with the permission to run one's own classes.

    A record does not move files away: unless `data.on_bad_image` is among the keys that were `typed` now, its
    `quarantine` is a `skip`, which leaves the same images.

    Args:
        config: plain data.
        file: that holds it, for messages.
        allow: the user's own modules that it names.
        typed: keys that were set on the command line.

    Raises:
        UserError: it does not fit this version of transferlab, or is not plain.
    """
    plain: Any = OmegaConf.to_container(config) if OmegaConf.is_config(config) else config
    recorded = plain_config(plain, file)
    upgrade(recorded)
    recorded["allow"] = list(allow)
    if OmegaConf.select(recorded, MOVING, default=None) == "quarantine" and MOVING not in typed:
        OmegaConf.update(recorded, MOVING, "skip")
        _note_skipping(file)
    try:
        return resolved(recorded, given={"allow": allow, **dict.fromkeys(typed)}, files=[file])
    except ConfigError as error:
        raise ConfigError([_with_place(text) for text in error.problems]) from None


def _with_place(problem: str) -> str:
    """Data that is not where a record says: the problem, and what to type."""
    if not problem.startswith("data.") or not problem.endswith(("no such folder.", "no such file.")):
        return problem
    return f"{problem} If the data has moved, say where it is: {problem.partition('=')[0]}=PATH."


@lru_cache  # the jobs of a sweep stand in one file
def _note_skipping(file: Path) -> None:
    if not is_worker():
        sys.stdout.write(
            f"note: {printable(file)}: {MOVING}=quarantine is not obeyed: only the command line may ask "
            "for files to be moved. Broken images are left out, as with skip.\n"
        )


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
    require_own_files(trained.path)
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
        typed = [text.lstrip("+").partition("=")[0] for text in asked]
        return _config_of_run(trained, changes, chosen, allow, typed)
    if not is_chosen:
        raise UserError(
            f"{trained.path}: a model without the config.yaml of its run does not say which data to evaluate "
            "it on. Fix: add data=OPTION, e.g. data=folder data.root=DIR."
        )
    return OmegaConf.masked_copy(compose_checked([*asked, allowing]).config, ["data", "trainer", "allow"])


def _config_of_run(
    trained: Run, changes: Sequence[str], data: DictConfig | None, allow: Sequence[str], typed: Sequence[str]
) -> DictConfig:
    """The config of a run with these changes, and other data where some is given; `typed` are all keys."""
    config = read_recorded(trained.config_file)
    upgrade(config)
    if not all(isinstance(config.get(key), DictConfig) for key in ("backbone", "data", "strategy")):
        return checked_record(config, trained.config_file, allow)  # which says what is missing
    # what it began with may be gone; now it begins with what it became
    config.backbone.weights, config.strategy.start_from = str(trained.path.resolve()), "model"
    for text in changes:
        change(config, text)
    if data is None:
        return checked_record(config, trained.config_file, allow, typed=typed)
    two_domains = config.data.get("target") is not None and data.target is None
    # a strategy may have needed a target to train with; to be evaluated it does not
    config.data = OmegaConf.merge(data, {"target": data.source}) if two_domains else data
    config = checked_record(config, trained.config_file, allow, typed=typed)
    config.data = data
    return config


def change(config: DictConfig, text: str) -> None:
    """Set a key of a recorded config; with `data.root` goes every path below it. Raises `UserError`."""
    key, value = key_and_value(text)
    parent = key.rpartition(".")[0]
    if not isinstance(OmegaConf.select(config, parent) if parent else None, DictConfig):
        raise UserError(f"{text}: there is no {parent or key} in this run's config.")
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
