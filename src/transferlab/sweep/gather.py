"""The runs that are to be compared, each read from its folder once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transferlab.evaluation.comparison.grouping import Recorded, unreadable
from transferlab.run.errors import UserError
from transferlab.run.older_configs import upgrade
from transferlab.run.own_files import require_own_files
from transferlab.run.reading import read_yaml
from transferlab.run.run_folder import Run
from transferlab.sweep.sweep_record import SweepRecord


def gather(folders: Sequence[Path]) -> list[Recorded]:
    """The runs of these folders, each once: those of a sweep by the names of their folders.

    Of a sweep's runs those that read other data or weights than its jobs do now are left out. In the place of
    one with a damaged file stands the reason.

    Args:
        folders: of runs, or of sweeps, whose folders of runs are directly within.

    Raises:
        UserError: a folder that is neither.
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
    """The record of a run; where a file is damaged, one that says so, and the others are compared."""
    try:
        require_own_files(run.path)
        config = read_yaml(run.config_file) if run.config_file.is_file() else {}
        upgrade(config)
        return Recorded(run.path, config, run.environment.get("choices", {}), run.result)
    except UserError as error:
        return unreadable(run.path, error)
