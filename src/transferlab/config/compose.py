"""Compose a config with Hydra and check it: all problems at once, before torch is imported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Sweep
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from transferlab.config import places, resolvers
from transferlab.config.check import ConfigError, check, known_paths
from transferlab.config.rules import warnings_about


@dataclass(frozen=True)
class Composed:
    """A checked config and what belongs to it.

    Attributes:
        config: with every interpolation resolved.
        choices: the chosen option of each config group.
        run_dir: where a single run goes.
        warnings: what the user should know: settings without effect, files that are not read.
    """

    config: DictConfig
    choices: dict[str, str | None]
    run_dir: Path
    warnings: list[str] = field(default_factory=list)


def compose_checked(
    overrides: Sequence[str], *, config_name: str = "train", config_dir: str | Path | None = None
) -> Composed:
    """The config that these overrides ask for, with every interpolation resolved.

    Args:
        overrides: what stands on the command line: `group=option`, `key=value`; a sweep's first values.
        config_name: the primary config.
        config_dir: a further folder of the user's, besides `./conf`.

    Raises:
        ConfigError: the list of all problems: unknown keys and options with close names, missing values,
            wrong types and choices, classes that are not allowed, settings that contradict each other.
    """
    resolvers.register()
    if config_dir is not None and not Path(config_dir).is_dir():
        raise ConfigError([f"--config-dir={config_dir}: there is no such folder."])
    with initialize_config_dir(str(places.shipped()), job_name="transferlab", version_base="1.3"):
        return _compose(list(overrides), config_name, _search_path(config_dir))


def check_sweep(
    overrides: Sequence[str], *, config_name: str = "train", config_dir: str | Path | None = None
) -> list[str]:
    """Check every value that a multirun sweeps over, each once beside the others' first; return the warnings."""
    resolvers.register()
    problems: list[str] = []
    warnings: list[str] = []
    parser = OverridesParser.create()
    alternatives: list[list[str]] = [list(overrides)]
    for position, text in enumerate(overrides):
        try:
            parsed = parser.parse_override(text)
        except HydraException:
            continue
        values = _sweep_values(parsed)[1:]
        if values and all(_is_number(value) for value in values) and not parsed.is_delete():
            values = values[-1:]  # numbers are alike: the first and the last stand for all
        for value in values:
            alternatives.append([*overrides[:position], f"{_key(parsed)}={value}", *overrides[position + 1 :]])
    for alternative in alternatives:
        try:
            composed = compose_checked(alternative, config_name=config_name, config_dir=config_dir)
            warnings += [text for text in composed.warnings if text not in warnings]
        except ConfigError as error:
            problems += [text for text in error.problems if text not in problems]
    if problems:
        raise ConfigError(problems)
    return warnings


def _compose(overrides: list[str], config_name: str, search_path: list[str]) -> Composed:
    loader = GlobalHydra.instance().config_loader()
    groups = sorted(_groups(loader))
    problems: list[str] = []
    usable: list[str] = list(search_path)
    given: dict[str, Any] = {}
    parser = OverridesParser.create()
    for text in overrides:
        try:
            parsed = parser.parse_override(text)
        except HydraException as error:
            problems.append(_unreadable(text, error))
            continue
        key = parsed.key_or_group
        first = _sweep_values(parsed)[:1]
        if key in groups and not parsed.is_delete():
            wrong = _wrong_options(loader, parsed)
            problems += wrong
            if not wrong:
                usable.append(f"{_key(parsed)}={first[0]}" if first else text)
        elif "/" in key:
            problems.append(f"{text}: there is no group {key}.{_did_you_mean(key, groups)}")
        elif key.split(".")[0] == "hydra" or parsed.is_delete():
            usable.append(text)
        else:
            value = first[0] if first else text.split("=", 1)[1]
            usable.append(f"++{key}={value}")
            given[key] = value
    config, error_text = _hydra_compose(config_name, usable)
    if config is None:
        raise ConfigError([*problems, error_text])
    HydraConfig.instance().set_config(config)
    hydra = config.hydra
    task = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    OmegaConf.set_struct(task, False)
    allow = task.get("allow") or []
    if allow and "allow" not in given:
        problems.append(
            "allow: a config file can not allow classes. Give it on the command line: "
            f"allow=[{','.join(str(item) for item in allow)}]."
        )
    problems += check(task, given=given, files=_users_files(search_path, hydra), groups=groups)
    if problems:
        raise ConfigError(problems)
    OmegaConf.resolve(task)
    choices = {str(group): option for group, option in hydra.runtime.choices.items()}
    return Composed(task, choices, Path(hydra.run.dir), _shadowed(search_path) + warnings_about(task))


def _hydra_compose(config_name: str, overrides: list[str]) -> tuple[DictConfig | None, str]:
    try:
        return compose(config_name, overrides=overrides, return_hydra_config=True), ""
    except (HydraException, OmegaConfBaseException) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        text = " ".join(line for line in lines if not line.startswith(("full_key:", "object_type=")))
        return None, text if text.endswith(".") else text + "."


def _groups(loader: ConfigLoader, parent: str = "") -> Iterator[str]:
    for name in loader.list_groups(parent):
        path = f"{parent}/{name}" if parent else name
        if path != "hydra":
            yield path
            yield from _groups(loader, path)


def _wrong_options(loader: ConfigLoader, override: Override) -> list[str]:
    """One problem for each chosen option that does not exist."""
    group = override.key_or_group
    options = loader.get_group_options(group, ObjectType.CONFIG)
    values = _sweep_values(override)
    chosen: list[Any] = values if values else [override.value()]
    problems = []
    for value in chosen:
        value = value.strip("'\"") if isinstance(value, str) else value
        if isinstance(value, str) and value.startswith("["):
            value = [item.strip() for item in value.strip("[]").split(",") if item.strip()]
        for option in value if isinstance(value, list) else [value]:
            if option is not None and option != "null" and str(option) not in options:
                problems.append(
                    f"{override.get_key_element().lstrip('+')}={option}: there is no such option."
                    f"{_did_you_mean(str(option), options)} Options: {', '.join(options)}."
                )
    return problems


def _sweep_values(override: Override) -> list[str]:
    """The texts of the values that an override sweeps over; none where it does not sweep or has no list."""
    if not override.is_sweep_override() or not isinstance(override.value(), Sweep):
        return []
    try:
        return list(override.sweep_string_iterator())
    except (HydraException, NotImplementedError):
        return []


def _key(override: Override) -> str:
    return override.get_key_element()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _unreadable(text: str, error: HydraException) -> str:
    if "=" not in text:
        return f"{text}: not a verb, nor group=option or key=value."
    first = str(error).splitlines()[0]
    return f"{text}: this can not be read ({first}). Quote values with special characters: 'key=\"value\"'."


def _did_you_mean(name: str, names: Sequence[str]) -> str:
    close = get_close_matches(name, names, n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(close)}?" if close else ""


def _search_path(config_dir: str | Path | None) -> list[str]:
    """`--config-dir` as an override of Hydra's search path; `./conf` joins by the plugin."""
    return [] if config_dir is None else [f"hydra.searchpath=[file://{Path(config_dir).resolve()}]"]


def _users_folders(search_path: list[str]) -> list[Path]:
    own = [places.users()] if places.users() else []
    return [*[folder for folder in own if folder], *[Path(text.split("file://")[1][:-1]) for text in search_path]]


def _users_files(search_path: list[str], hydra: DictConfig) -> list[Path]:
    """The files that may hold what a user wrote: the chosen experiment and all of his own."""
    files = [file for folder in _users_folders(search_path) for file in sorted(folder.rglob("*.yaml"))]
    chosen = hydra.runtime.choices.get("experiment")
    shipped = places.shipped() / "experiment" / f"{chosen}.yaml"
    return [*files, shipped] if shipped.is_file() else files


def _shadowed(search_path: list[str]) -> list[str]:
    """A warning for each file of the user's that is never read because a shipped one has its name."""
    return [
        f"{file}: transferlab has its own {file.relative_to(folder)}, which is read instead. Rename yours."
        for folder in _users_folders(search_path)
        for file in sorted(folder.rglob("*.yaml"))
        if (places.shipped() / file.relative_to(folder)).is_file()
    ]


__all__ = ["Composed", "ConfigError", "check_sweep", "compose_checked", "known_paths"]
