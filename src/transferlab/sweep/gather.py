"""The runs that are to be compared, each read from its folder once."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transferlab.config.older_configs import upgrade
from transferlab.evaluation.comparison.grouping import Recorded
from transferlab.run.errors import UserError
from transferlab.run.reading import read_yaml
from transferlab.run.run_folder import Run
from transferlab.sweep.sweep_record import SweepRecord


def gather(folders: Sequence[Path]) -> list[Recorded]:
    """The runs of these folders, each once: those of a sweep by the names of their folders.

    Of a sweep's runs those that read other data or weights than its jobs do now are left out, and with a
    note those whose config.yaml or result.json is damaged.

    Args:
        folders: of runs, or of sweeps, whose folders of runs are directly within.

    Raises:
        UserError: a folder that is neither, or no record that can be read.
    """
    found: dict[Path, Recorded] = {}
    damaged: list[UserError] = []
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: there is no such folder.")
        runs = [folder] if is_run(folder) else _runs_in(folder)
        if not runs:
            raise UserError(f"{folder}: there is no run in it. Give folders of runs, or of sweeps.")
        for path in runs:
            if path.resolve() not in found:
                try:
                    found[path.resolve()] = _read(Run(path))
                except UserError as error:
                    damaged.append(error)
    if damaged and not found:
        raise damaged[0]
    for each in damaged:
        sys.stderr.write(f"note: {each} Without it the run is not compared.\n")
    return list(found.values())


def is_run(folder: Path) -> bool:
    """True if a run has left something there, if only why it failed to begin."""
    return (folder / "result.json").is_file() or (folder / "config.yaml").is_file()


def _runs_in(sweep: Path) -> list[Path]:
    left_behind = {run.path for run in SweepRecord(sweep).left_behind()}
    return [path for path in sorted(sweep.iterdir()) if is_run(path) and path not in left_behind]


def _read(run: Run) -> Recorded:
    config = read_yaml(run.config_file, dict[str, Any]) if run.config_file.is_file() else {}
    upgrade(config)
    try:
        choices = run.environment.get("choices", {})
    except UserError as error:  # names of options alone come from there
        sys.stderr.write(f"note: {error}\n")
        choices = {}
    return Recorded(run.path, config, choices, run.result)
