"""The runs that are to be compared, each read from its folder once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from transferlab.config.older_configs import upgrade
from transferlab.evaluation.comparison.grouping import Recorded
from transferlab.run.errors import UserError
from transferlab.run.run_folder import Run
from transferlab.sweep.sweep_record import SweepRecord

# the one written in C where there is one: ten times as fast
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def gather(folders: Sequence[Path]) -> list[Recorded]:
    """The runs of these folders, each once: those of a sweep by the names of their folders.

    Of a sweep's runs those that read other data or weights than its jobs do now are left out.

    Args:
        folders: of runs, or of sweeps, whose folders of runs are directly within.

    Raises:
        UserError: a folder that is neither, or a record that cannot be read.
    """
    found: dict[Path, Recorded] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: there is no such folder.")
        runs = [folder] if is_run(folder) else _runs_in(folder)
        if not runs:
            raise UserError(f"{folder}: there is no run in it. Give folders of runs, or of sweeps.")
        for path in runs:
            if path.resolve() not in found:
                found[path.resolve()] = _read(Run(path))
    return list(found.values())


def is_run(folder: Path) -> bool:
    """True if a run has left something there, if only why it failed to begin."""
    return (folder / "result.json").is_file() or (folder / "config.yaml").is_file()


def _runs_in(sweep: Path) -> list[Path]:
    left_behind = {run.path for run in SweepRecord(sweep).left_behind()}
    return [path for path in sorted(sweep.iterdir()) if is_run(path) and path not in left_behind]


def _read(run: Run) -> Recorded:
    config: Any = {}
    if run.config_file.is_file():
        try:
            config = yaml.load(run.config_file.read_text(encoding="utf-8"), _Loader)
        except yaml.YAMLError as error:
            raise UserError(f"{run.config_file} is not readable YAML ({error}).") from error
    upgrade(config)
    return Recorded(run.path, config or {}, run.environment.get("choices", {}), run.result)
