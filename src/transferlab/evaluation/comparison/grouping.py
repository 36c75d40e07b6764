"""Groups: runs that differ only in their seeds; the folds of a seed form one repetition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transferlab.evaluation.comparison.differences import (
    FOLD,
    SEEDS,
    as_text,
    flat_config,
    options,
    short_names,
    what_differs,
)

Seed = tuple[int, ...]


@dataclass(frozen=True)
class Repetition:
    """A seed of a group that has finished."""

    seed: Seed  # `seed`, and `data.shots_seed` where it is another one
    runs: tuple[Recorded, ...]  # one, or all folds


@dataclass(frozen=True)
class Group:
    """Runs with equal settings."""

    name: str  # what sets it apart from other groups
    settings: Mapping[str, Any]  # the same, by config path or group; the names are the same for all groups
    repetitions: tuple[
        Repetition, ...
    ]  # by seed; those with all folds, or without any the most complete ones
    num_finished: int  # runs, each fold one
    unfinished: tuple[Recorded, ...]  # runs that failed, were interrupted or still run
    repeated: tuple[Recorded, ...]  # finished runs whose seed and fold another has already; they are left out
    missing: tuple[Seed, ...]  # seeds that other groups have, or of which a fold is missing
    num_folds: int = 1  # of a whole repetition

    @property
    def extent(self) -> str:
        """Seeds that have finished, and of how many: `3`, `2 of 5`, `1 (2 of 5 folds)`."""
        folds = max((len(repetition.runs) for repetition in self.repetitions), default=self.num_folds)
        if folds < self.num_folds:
            return f"{len(self.repetitions)} ({folds} of {self.num_folds} folds)"
        total = len(self.repetitions) + len(self.missing)
        return f"{len(self.repetitions)} of {total}" if self.missing else str(total)


def groups_of(runs: Sequence[Recorded]) -> list[Group]:
    """The groups of these runs, in the order of their first ones; runs that have not begun are in none."""
    begun = [run for run in runs if run.config]
    configs = [flat_config(run.config) for run in begun]
    settings = what_differs(configs, [options(run.choices) for run in begun])
    names = short_names(settings)
    members: dict[str, list[int]] = {}
    for position, setting in enumerate(settings):
        members.setdefault(repr(list(setting.values())), []).append(position)
    all_seeds = {_seed(config) for config in configs}
    in_folds = [config for config in configs if config.get(FOLD) is not None]
    all_folds = {config[FOLD] for config in in_folds}
    all_folds |= {fold for config in in_folds for fold in range(int(config.get("data.num_folds") or 0))}
    groups = []
    for positions in members.values():
        first = positions[0]
        name = names[first] or str(begun[first].config.get("name", "all runs"))
        placed = [(begun[position], configs[position]) for position in positions]
        groups.append(_group(name, settings[first], placed, all_seeds, all_folds))
    return groups


def seeds_as_text(seeds: Iterable[Seed]) -> str:
    """`0 1 2`; a seed with another one for the choice of images is `0/1`."""
    return " ".join("/".join(map(as_text, seed)) for seed in seeds)


def _group(
    name: str,
    settings: Mapping[str, Any],
    placed: Sequence[tuple[Recorded, Mapping[str, Any]]],
    all_seeds: set[Seed],
    all_folds: set[Any],
) -> Group:
    finished: dict[Seed, dict[Any, Recorded]] = {}
    repeated, unfinished = [], []
    for run, config in placed:
        folds = finished.setdefault(_seed(config), {})
        if run.status != "finished":
            unfinished.append(run)
        elif config.get(FOLD) in folds:
            repeated.append(run)
        else:
            folds[config.get(FOLD)] = run
    wanted = {None} if all(config.get(FOLD) is None for _, config in placed) else all_folds
    complete = [seed for seed, folds in finished.items() if set(folds) == wanted]
    most = max((len(folds) for folds in finished.values()), default=0)
    shown = complete or [seed for seed, folds in finished.items() if folds and len(folds) == most]
    repetitions = [
        Repetition(seed, tuple(folds[fold] for fold in sorted(folds, key=str)))
        for seed, folds in sorted(finished.items())
        if seed in shown
    ]
    return Group(
        name=name,
        settings=settings,
        repetitions=tuple(repetitions),
        num_finished=sum(map(len, finished.values())),
        unfinished=tuple(unfinished),
        repeated=tuple(repeated),
        missing=tuple(sorted(all_seeds - set(complete))),
        num_folds=len(wanted),
    )


def _seed(config: Mapping[str, Any]) -> Seed:
    """The seeds of a run, each once: by default the one is the other."""
    return tuple(dict.fromkeys(int(config[name]) for name in SEEDS if config.get(name) is not None))


@dataclass(frozen=True)
class Recorded:
    """Contents of a run's folder."""

    path: Path  # of the folder
    config: Mapping[str, Any] = field(default_factory=dict)  # resolved; empty where the run has not begun
    choices: Mapping[str, str | None] = field(default_factory=dict)  # the options of the config groups
    # what result.json says; empty where nothing is said yet
    result: Mapping[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """`finished`, or `running`, `failed`, `interrupted`; `missing` where nothing is said yet."""
        return str(self.result.get("status", "missing"))

    @property
    def reason(self) -> str:
        """Why it failed, in a line; empty where there is nothing to say."""
        return str(self.result.get("error", "")).partition("\n")[0]


def unreadable(path: Path, reason: object) -> Recorded:
    """The record of a run whose files cannot be read: nothing but the reason."""
    return Recorded(path, result={"status": "left out", "error": f"its files cannot be read: {reason}"})
