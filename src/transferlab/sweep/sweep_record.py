"""The record of a sweep in its folder: its command, and each of its jobs.

    sweep.json    the command, where it was given, and Hydra's launcher and sweeper
    jobs.jsonl    a line for each job: its base name, its folder, its config, what it reads

A job's folder is `<base>-<hash of what it reads>`. The last line of a base says which folder it has now; the
others of that base are left behind: runs of data or weights that have changed since.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from transferlab.run.errors import UserError
from transferlab.run.own_files import is_plain_name, require_own_files
from transferlab.run.reading import of_shape, read_json, read_text
from transferlab.run.record_shapes import JobLine, SweepFile
from transferlab.run.run_folder import Run, write_atomically

FILE, JOBS = "sweep.json", "jobs.jsonl"
_WITH_HASH = re.compile("-[0-9a-f]{6}$")


class SweepRecord:
    """The record of the sweep in a folder.

    Raises:
        UserError: sweep.json or jobs.jsonl cannot be used, or a job's folder is not in the sweep's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        require_own_files(folder, deep=False)
        self.about = _about(folder / FILE)
        self.jobs: dict[str, dict[str, Any]] = {}  # by base name, the last line of each
        if (folder / JOBS).is_file():
            for line in read_text(folder / JOBS, "JSON lines").split("\n"):
                entry = _read(line, folder / JOBS)
                if entry is not None:
                    self._require_plain_names(entry)
                    self.jobs[entry["base"]] = entry

    def _require_plain_names(self, entry: Mapping[str, Any]) -> None:
        """Refuse a job whose folder would be anywhere else than in the sweep's."""
        for key in ("base", "folder"):
            if not is_plain_name(entry[key]):
                raise UserError(
                    f"{self.folder / JOBS}: {key}={entry[key]!r}: must be the name of a folder in the "
                    "sweep's. Fix: delete that line."
                )

    def describe(self, command: str) -> None:
        """Write down the sweep that Hydra runs for this command."""
        hydra = HydraConfig.get()
        about = {
            "command": command,
            "folder": str(Path.cwd()),
            "launcher": OmegaConf.to_container(hydra.launcher, resolve=True),
            "sweeper": str(hydra.sweeper.get("_target_")),
        }
        if about != self.about:
            self.about = about
            write_atomically(self.folder / FILE, json.dumps(about, indent=2) + "\n")

    def add(self, entry: Mapping[str, Any]) -> None:
        """Append a job, unless its line stands there already: `base`, `folder` and what else is known."""
        line = json.dumps(entry)
        plain: dict[str, Any] = json.loads(line)
        if self.jobs.get(plain["base"]) == plain:
            return
        self.jobs[plain["base"]] = plain
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / JOBS).open("ab") as file:
            if file.tell() and not _ends_a_line(self.folder / JOBS):
                file.write(b"\n")  # a kill has cut the last one short
            file.write(line.encode() + b"\n")

    def left_behind(self) -> list[Run]:
        """The runs of other data or weights than the ones that the jobs read now."""
        names = sorted(path.name for path in self.folder.glob("*/") if path.is_dir())
        of_jobs = [(name, name if name in self.jobs else _WITH_HASH.sub("", name)) for name in names]
        return [
            Run(self.folder / name)
            for name, base in of_jobs
            if base in self.jobs and self.jobs[base]["folder"] != name
        ]


def left_behind_lines(folder: Path) -> list[str]:
    """A line for each run of a sweep that read other data or weights than there are now."""
    return [
        f"of other data or weights, not compared: {run.path.name} ({run.status})"
        for run in SweepRecord(folder).left_behind()
    ]


def _about(file: Path) -> dict[str, Any]:
    return read_json(file, SweepFile) if file.is_file() else {}


def _read(line: str, file: Path) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None  # cut short by a kill; the job is asked for again by the same command
    if not (isinstance(entry, dict) and {"base", "folder"} <= entry.keys()):
        return None
    return of_shape(entry, JobLine, file)


def _ends_a_line(file: Path) -> bool:
    with file.open("rb") as content:
        content.seek(-1, os.SEEK_END)
        return content.read() == b"\n"
