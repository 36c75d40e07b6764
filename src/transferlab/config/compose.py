"""Compose a config with Hydra and check it: all problems at once, before torch is imported."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from transferlab.config import config_files, resolvers
from transferlab.config.check import ConfigError, resolved
from transferlab.config.config_files import (
    is_mapping,
    misencoded,
    misnamed,
    near,
    shadowed,
    shipped,
    where,
    with_defaults,
    without_package,
)
from transferlab.config.overrides import Given, did_you_mean, read_overrides
from transferlab.config.rules.contradictions import warnings_about
from transferlab.config.rules.hydra_rules import problems_of_folders, problems_of_hydra
from transferlab.config.walk import known_paths
from transferlab.run.reading import unbounded

_WITHOUT_PACKAGE = ": an experiment begins with the line '# @package _global_'; this one does not."


@dataclass(frozen=True)
class Composed:
    """A checked config and what belongs to it."""

    config: DictConfig  # with every interpolation resolved
    written: DictConfig  # the same with its interpolations, as the files have it
    hydra: DictConfig  # Hydra's own part
    choices: dict[str, str | None]  # the chosen option of each config group
    run_dir: Path  # where a single run goes
    warnings: list[str]  # settings without effect, files that are not read


def compose_checked(
    overrides: Sequence[str], *, config_name: str = "train", config_dir: str | Path | None = None
) -> Composed:
    """The config that these overrides ask for, with every interpolation resolved.

    Args:
        overrides: what stands on the command line: `group=option`, `key=value`.
        config_name: the primary config.
        config_dir: a further folder of the user's, besides `./conf`.

    Raises:
        ConfigError: the list of all problems: unknown keys and options with close names, missing values,
            wrong types and choices, classes that are not allowed, settings that contradict each other.
    """
    with started(config_name, config_dir) as composer:
        read, problems = composer.read(overrides)
        for given in read:
            if given.sweeps:
                as_list = f"{given.text.partition('=')[0]}=[{','.join(given.values)}]"
                mend = "add -m" if given.is_group else f"add -m, or write a list as {as_list}"
                problems.append(f"{given.text}: several values make a sweep: {mend}.")
        return composer.compose(read, problems)


@contextlib.contextmanager
def started(config_name: str, config_dir: str | Path | None) -> Iterator[Composer]:
    """Hydra, initialised for as long as the block lasts; one that was there before comes back."""
    resolvers.register()
    if config_dir is not None and not Path(config_dir).is_dir():
        raise ConfigError([f"--config-dir={config_dir}: there is no such folder."])
    outer = HydraConfig.instance().cfg
    with (
        resolvers.only_known(),
        initialize_config_dir(str(shipped()), job_name="transferlab", version_base="1.3"),
    ):
        try:
            yield Composer(GlobalHydra.instance().config_loader(), config_name, config_dir)
        finally:
            HydraConfig.instance().cfg = outer


class Composer:
    """Composes and checks, within one initialised Hydra."""

    def __init__(self, loader: ConfigLoader, config_name: str, config_dir: str | Path | None) -> None:
        self.loader, self.config_name = loader, config_name.removesuffix(".yaml")
        if config_dir is not None:  # as Hydra's own --config-dir does
            path = loader.get_search_path()
            folder = f"file://{Path(config_dir).resolve()}"
            path.prepend(provider="command-line", path=folder, anchor=SearchPathQuery(provider="schema"))
            loader.repository.initialize_sources(path)  # type: ignore[attr-defined]
        self._look_into([])

    def read(self, overrides: Sequence[str]) -> tuple[list[Given], list[str]]:
        """The overrides that can be read, and a sentence for each that cannot."""
        for text in overrides:
            if text.lstrip("+").startswith("hydra.searchpath="):
                self._look_into(text.partition("=")[2].strip("[]").split(","))
        if not any((folder / f"{self.config_name}.yaml").is_file() for folder in self.folders):
            names = sorted({file.stem for folder in self.folders for file in folder.glob("*.yaml")})
            mend = misnamed(self.folders, "", self.config_name) or did_you_mean(self.config_name, names)
            mend = mend or f" There is {', '.join(names)}."
            raise ConfigError([f"--config-name={self.config_name}: there is no such config.{mend}"])
        found = read_overrides(overrides, self.groups, self._hydras_options, partial(misnamed, self.folders))
        read = [item for item in found if isinstance(item, Given)]
        bare = [
            file
            for given in read
            for name in (given.values if given.key == "experiment" and "@" not in given.left else ())
            if (file := without_package(self.folders, name.strip("[]'\" "))) is not None
        ]
        if bare:
            raise ConfigError(misencoded(bare) or [f"{near(file)}{_WITHOUT_PACKAGE}" for file in bare])
        return read, [item for item in found if isinstance(item, str)]

    def compose(self, read: Sequence[Given], problems: Sequence[str]) -> Composed:
        """The checked config of these overrides."""
        problems = list(problems)
        try:
            config = self._hydra_compose([given.only(0).for_hydra() for given in read])
        except ConfigError as error:
            found = misencoded(self._written_by_users()) or self._hydra_problems(read) or error.problems
            raise ConfigError([*problems, *found]) from None
        if wrong := _wrong_hydra(config):
            raise ConfigError([*problems, *wrong])
        HydraConfig.instance().set_config(config)
        hydra = config.hydra
        task = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
        OmegaConf.set_struct(task, False)
        typed = {given.key: given.values for given in read if not given.is_group}
        choices = {str(group): option for group, option in hydra.runtime.choices.items()}
        allow = OmegaConf.to_container(task).get("allow") or []  # type: ignore[union-attr]
        allow = [str(item) for item in (allow if isinstance(allow, list) else [allow])]
        if allow and "allow" not in typed:
            problems.append(
                "allow: a config file cannot allow classes. Give it on the command line: "
                f"allow=[{','.join(allow)}]."
            )
        problems += problems_of_hydra(hydra, read, allow, self._launcher_alone)
        files = self._users_files(choices)
        try:
            plain = resolved(task, given=typed, files=files, chosen=choices, problems=problems)
        except ConfigError as error:
            if wrong := misencoded(files):
                raise ConfigError([*problems, *wrong]) from error
            raise
        if outside := problems_of_folders(hydra, read):
            raise ConfigError(outside)
        warnings = shadowed(self.folders) + warnings_about(plain, [given.key for given in read])
        return Composed(plain, task, hydra, choices, _run_dir(hydra), warnings)

    def _launcher_alone(self, read: Sequence[Given]) -> DictConfig:
        """Hydra's launcher as the command line alone chooses it, without the files of an experiment."""
        return self._hydra_compose([given.only(0).for_hydra() for given in read]).hydra.launcher

    def _look_into(self, further: Sequence[str]) -> None:
        path = [entry.path for entry in self.loader.get_search_path().get_path()]
        self.folders = config_files.folders([*path, *(entry.strip(" '\"") for entry in further)])
        self.groups = config_files.options(self.folders)
        own = [folder for folder in self.folders if folder.resolve() != shipped().resolve()]
        for file in (file for folder in own for file in sorted(folder.rglob("*.yaml"))):
            if excess := unbounded(file):
                raise ConfigError([f"{near(file)}: {excess}. Fix: write the values themselves."])

    def _hydras_options(self, group: str) -> Sequence[str]:
        return self.loader.get_group_options(group, ObjectType.CONFIG)

    def _hydra_compose(self, overrides: Sequence[str]) -> DictConfig:
        try:
            return compose(self.config_name, overrides=list(overrides), return_hydra_config=True)
        except yaml.YAMLError as error:
            raise ConfigError([_broken_yaml(error)]) from error
        except UnicodeDecodeError as error:
            raise ConfigError([f"A config file is not UTF-8 text ({error}). Save it as such."]) from error
        except RecursionError:
            raise ConfigError(["A config file nests too deeply. Fix: write its values flat."]) from None
        except (HydraException, OmegaConfBaseException, ValueError, AssertionError, OSError) as error:
            raise ConfigError([self._in_words(error, overrides)]) from error

    def _hydra_problems(self, read: Sequence[Given]) -> list[str]:
        """The wrong ones among the `hydra.x=y`, where these are what cannot be composed."""
        own = [given for given in read if given.key.startswith("hydra.") and given.values]
        if not own:
            return []
        try:
            config = self._hydra_compose([given.only(0).for_hydra() for given in read if given not in own])
        except ConfigError:
            return []
        known = [f"hydra.{path}" for path in known_paths(config.hydra)]
        found = []
        for given in own:
            parent = given.key.rpartition(".")[0]
            beside = [path.rpartition(".")[2] for path in known if path.rpartition(".")[0] == parent]
            mend = did_you_mean(given.key.rpartition(".")[2], beside, 1)
            mend = mend or f" Keys of {parent}: {', '.join(beside) or 'none'}."
            if given.key not in known:
                found.append(f"{given.key}: there is no such key.{mend}")
        return found

    def _in_words(self, error: Exception, overrides: Sequence[str]) -> str:
        """Hydra's message in a line, without its advice on `+` and `++`."""
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        text = " ".join(line for line in lines if not line.startswith(("full_key:", "object_type=")))
        if "Invalid loaded object type" in text:
            wrong = [near(file) for file in self._written_by_users() if not is_mapping(file)]
            place = " or ".join(wrong[:3]) or "A config file"
            return f"{place}: a config is a mapping of keys. Fix: KEY: VALUE."
        if missing := re.search(r"Could not (?:find|load) '(?:([^']*)/)?([^'/]*)'", text):
            group, option = missing[1] or "", missing[2]
            options = self.groups.get(group, ())
            mend = misnamed(self.folders, group, option)
            mend += f"{did_you_mean(option, options)} Options: {', '.join(options)}." if options else ""
            place = where(rf"\b{re.escape(option)}\b", self._written_by_users())
            return f"{f'{group}={option}' if group else option}: there is no such option.{mend}{place}"
        if unused := re.search(r"Could not override '([^']*)'\.", text):
            name = unused[1]
            given = next((text for text in overrides if text.lstrip("+").startswith(f"{name}=")), None)
            close = re.search(r"Did you mean to override (.*?)\?", text)
            mend = f" Did you mean {close[1]}?" if close else did_you_mean(name, list(self.groups), 1)
            files = [] if given else self._written_by_users()
            place = where(rf"override\s+/?{re.escape(name)}\b", files)
            return f"{given or name}: the config that is chosen has no such part to replace.{mend}{place}"
        if absent := re.match(r"Could not delete from config. '([^']*)' does not exist", text):
            return f"~{absent[1]}: there is no such key to leave out."
        return text if text.endswith((".", "?")) else text + "."

    def _written_by_users(self) -> list[Path]:
        """All files of the user's, and all experiments."""
        own = [folder if folder != shipped() else folder / "experiment" for folder in self.folders]
        return [file for folder in own for file in sorted(folder.rglob("*.yaml"))]

    def _users_files(self, choices: Mapping[str, str | None]) -> list[Path]:
        """The files of this config that hold what a user wrote: his own, and any experiment."""
        own = [folder for folder in self.folders if folder != shipped()]
        names = [f"{group.partition('@')[0]}/{option}.yaml" for group, option in choices.items()]
        experiment = shipped() / "experiment" / f"{choices.get('experiment')}.yaml"
        found = with_defaults(own, [f"{self.config_name}.yaml", *names])
        return [experiment, *found] if experiment.is_file() else found


def _wrong_hydra(config: DictConfig) -> list[str]:
    """Sections of Hydra's part that are no mappings, as sentences."""
    hydra = config.get("hydra")
    if not isinstance(hydra, DictConfig):
        return ["hydra: its settings stand below it, e.g. hydra.run.dir=DIR."]
    sections = ("run", "sweep", "launcher", "sweeper", "job", "overrides", "runtime")
    wrong = [f"hydra.{name}" for name in sections if not isinstance(hydra.get(name), DictConfig)]
    if wrong:
        return [f"{name}: must be a mapping; its settings stand below it. Leave it out." for name in wrong]
    return []


def _run_dir(hydra: DictConfig) -> Path:
    try:
        return Path(hydra.run.dir)
    except (OmegaConfBaseException, TypeError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError([f"hydra.run.dir: must be the path of a folder ({reason})."]) from error


def _broken_yaml(error: yaml.YAMLError) -> str:
    """File, line and fault."""
    mark = getattr(error, "problem_mark", None)
    reason = getattr(error, "problem", None) or str(error).splitlines()[0]
    if mark is None:
        return f"A config file is not readable YAML: {reason}."
    return f"{near(Path(str(mark.name)))}, line {mark.line + 1}: this is not readable YAML ({reason})."
