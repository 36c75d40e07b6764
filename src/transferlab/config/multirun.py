"""Check a sweep before its first job runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from transferlab.config.compose import Composed, ConfigError, started
from transferlab.config.launcher import problems_of_launcher
from transferlab.config.overrides import Given
from transferlab.config.sweeper import problems_of_sweeper


@dataclass(frozen=True)
class Sweep:
    """A checked sweep.

    Attributes:
        overrides: as Hydra is to be told them.
        folder: the one folder of all its jobs.
        warnings: what the user should know.
    """

    overrides: list[str]
    folder: Path
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
    warnings = dict.fromkeys(text for each in composed for text in each.warnings)
    return Sweep([given.told() for given in read], _folder(composed), list(warnings))


def _folder(composed: Sequence[Composed]) -> Path:
    """Where the sweep goes: decided once, as its jobs may have different names and begin at other times."""
    folder, name = str(composed[0].hydra.sweep.dir), composed[0].config.name
    if any(each.config.name != name for each in composed):
        folder = folder.replace(f"/{name}/", "/mixed/")
    return Path(folder)


def _alternatives(read: Sequence[Given], first: Sequence[Given]) -> Iterator[tuple[str, str, list[Given]]]:
    """One override after the other: its further values, each beside the first ones of the others."""
    for position, given in enumerate(read):
        further = range(1, len(given.values))
        if all(_is_number(value) for value in given.values):
            further = further[-1:]  # numbers are alike: the first and the last stand for all
        for which in further:
            other = given.only(which)
            yield first[position].text, other.text, [*first[:position], other, *first[position + 1 :]]


def _with_causes(tried: Sequence[tuple[str, str, list[str]]]) -> list[str]:
    """Each problem once; where only some values have it, after the value that brings it."""
    told = []
    for problem in dict.fromkeys(text for _, _, problems in tried for text in problems):
        if problem in tried[0][2]:  # the first values have it; which of them must be changed?
            causes = [before for before, _, problems in tried[1:] if problem not in problems]
        else:
            causes = [after for _, after, problems in tried[1:] if problem in problems]
        causes = [cause for cause in dict.fromkeys(causes) if not problem.startswith(cause)]
        told.append(f"with {' or '.join(causes)}: {problem}" if causes else problem)
    return told


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
