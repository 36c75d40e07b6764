"""Check a sweep before its first job runs: the values, and Hydra's launcher and sweeper."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from transferlab.config.annotation import fault, plain
from transferlab.config.compose import Composed, ConfigError, started
from transferlab.config.overrides import Given
from transferlab.config.rules.command_template import problems_of_template
from transferlab.config.rules.hydra_rules import OURS, problems_of_plugin
from transferlab.config.signature import signature

_SLURM = "hydra_plugins.transferlab_plugins.SlurmLauncher"
_COMMAND = "hydra_plugins.transferlab_plugins.CommandLauncher"
_OPTUNA = "hydra_plugins.transferlab_plugins.OptunaSweeper"
_BASIC = "hydra._internal.core_plugins."
_WORD = re.compile(r"[\w.,:+*&|@=()\[\]/-]+")  # also a constraint such as [rack1*2&gpu]


@dataclass(frozen=True)
class Sweep:
    """A checked sweep."""

    overrides: list[str]  # as Hydra takes them
    folder: Path  # of all its jobs
    warnings: list[str]


def check_sweep(
    overrides: Sequence[str], *, config_name: str = "train", config_dir: str | Path | None = None
) -> Sweep:
    """Check every value that a multirun sweeps over, each once beside the others' first.

    Raises:
        ConfigError: the problems of all values, each once.
    """
    with started(config_name, config_dir) as composer:
        read, problems = composer.read(overrides)
        first = [given.only(0) for given in read]
        tried: list[tuple[str, str, list[str]]] = []  # what is changed, into what, the problems then
        composed: list[Composed] = []
        for before, after, alternative in [("", "", first), *_alternatives(read, first)]:
            try:
                composed.append(composer.compose(alternative, []))
                tried.append((before, after, []))
            except ConfigError as error:
                tried.append((before, after, error.problems))
        problems += _with_causes(tried)
        if composed:
            problems += problems_of_launcher(composed[0].hydra.launcher)
            problems += problems_of_sweeper(composed[0].hydra.sweeper, [given.text for given in read])
        if problems:
            raise ConfigError(problems)
        folder = _folder(composed)
    warnings = dict.fromkeys(text for each in composed for text in each.warnings)
    return Sweep([given.for_hydra() for given in read], folder, list(warnings))


def _folder(composed: Sequence[Composed]) -> Path:
    """Where the sweep goes: decided once, as its jobs may have different names and begin at other times."""
    folder, name = str(composed[0].hydra.sweep.dir), composed[0].config.name
    if any(each.config.name != name for each in composed):
        folder = folder.replace(f"/{name}/", "/mixed/")
    return Path(folder)


def _alternatives(read: Sequence[Given], first: Sequence[Given]) -> Iterator[tuple[str, str, list[Given]]]:
    """One override after the other: its further values, each beside the first ones of the others."""
    for position, given in enumerate(read):
        for which in _telling(given.values):
            if which == 0:
                continue
            other = given.only(which)
            yield first[position].text, other.text, [*first[:position], other, *first[position + 1 :]]


def _with_causes(tried: Sequence[tuple[str, str, list[str]]]) -> list[str]:
    """Each problem once; where only some values have it, after the value that brings it."""
    found = []
    for problem in dict.fromkeys(text for _, _, problems in tried for text in problems):
        if problem in tried[0][2]:  # the first values have it; which of them must be changed?
            causes = [before for before, _, problems in tried[1:] if problem not in problems]
        else:
            causes = [after for _, after, problems in tried[1:] if problem in problems]
        causes = [cause for cause in dict.fromkeys(causes) if not problem.startswith(cause)]
        found.append(f"with {' or '.join(causes)}: {problem}" if causes else problem)
    return found


def _telling(values: Sequence[str]) -> list[int]:
    """The positions of values that stand for all: of numbers, the least and the greatest of each kind."""
    try:
        numbers = [(float(value), position) for position, value in enumerate(values)]
    except ValueError:
        return list(range(len(values)))
    whole = [number for number in numbers if values[number[1]].lstrip("+-").isdigit()]
    odd = [number for number in numbers if not math.isfinite(number[0])]  # neither least nor greatest
    rest = [number for number in numbers if number not in whole and number not in odd]
    ends = [end(kind) for kind in (whole, rest) if kind for end in (min, max)]
    return sorted({position for _, position in ends + odd})


def problems_of_launcher(launcher: DictConfig) -> list[str]:
    """Faults of `hydra.launcher`, as sentences; a launcher of others is left to itself."""
    target = str(launcher.get("_target_"))
    found = problems_of_plugin(OmegaConf.to_container(launcher, resolve=True), "hydra.launcher")
    if found or not target.startswith(OURS):
        return found
    found = list(_problems_of_arguments(launcher, "hydra.launcher"))
    found += [
        f"hydra.launcher.{key}={plain(text)}: must be one word, of the characters that Slurm's names have."
        for key in ("partition", "account", "qos", "constraint")
        if (text := launcher.get(key)) is not None and not _WORD.fullmatch(str(text))
    ]
    if target == _SLURM and shutil.which("sbatch") is None:
        found.append(
            "hydra/launcher=slurm: there is no sbatch here. Start the sweep where you submit jobs to Slurm, "
            "or leave this out to run it on this machine."
        )
    if target == _SLURM and find_spec("submitit") is None:
        found.append("hydra/launcher=slurm: submitit is missing: pip install 'transferlab[slurm]'.")
    if target == _COMMAND and not found:
        found += _problems_of_commands(launcher)
    return found


def _problems_of_commands(launcher: DictConfig) -> Iterator[str]:
    for key in ("template", "alive", "cancel"):
        if (template := launcher.get(key)) is not None:
            path = f"hydra.launcher.{key}"
            yield from problems_of_template(template, path, runs_the_job=key == "template")
    if launcher.get("alive") is not None and launcher.get("wait") != "record":
        yield "hydra.launcher.alive has no effect without hydra.launcher.wait=record."
    if launcher.get("cancel_on_interrupt") and launcher.get("cancel") is None:
        yield "hydra.launcher.cancel_on_interrupt=true: say how: hydra.launcher.cancel='...'."


def problems_of_sweeper(sweeper: DictConfig, overrides: Sequence[str]) -> list[str]:
    """Faults of `hydra.sweeper` for these overrides; one of others is left to itself."""
    target = str(sweeper.get("_target_"))
    if target.startswith(_BASIC):
        fix = "has no end of values to try. Add hydra/sweeper=optuna, which searches among them."
        return [f"{text}: interval(...) {fix}" for text in overrides if "interval(" in text]
    if target != _OPTUNA:
        return []
    found = list(_problems_of_arguments(sweeper, "hydra.sweeper"))
    if "test" in str(sweeper.get("optimize")):
        found.append("hydra.sweeper.optimize: what the test split says must choose nothing.")
    if find_spec("optuna") is None:
        found.append("hydra/sweeper=optuna: Optuna is missing: pip install 'transferlab[optuna]'.")
    return found


def _problems_of_arguments(plugin: DictConfig, path: str) -> Iterator[str]:
    """A sentence for each argument, at `path` in the config, of a wrong type or out of its bounds."""
    taken = signature(str(plugin._target_))
    assert taken is not None
    for name, argument in taken.arguments.items():
        node = plugin.get(name)
        value = OmegaConf.to_container(node) if OmegaConf.is_config(node) else node
        if text := fault(value, argument.annotation):
            yield f"{path}.{name}={plain(value)}: {text}"
