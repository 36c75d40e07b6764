"""The file from which `transferlab job FILE` runs a job elsewhere, and the line of shell that does so.

    SWEEP/command/<name>.json    the jobs of one submission: configs, run folders, the working folder

The file holds no permission: the user's own modules stand on the command line, `allow=[...]`, and the config
is checked again where it runs.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import OmegaConf

from transferlab.config.rules.command_template import filled
from transferlab.run.processes import command
from transferlab.run.reading import read_json
from transferlab.run.record_shapes import CommandFile
from transferlab.run.run_folder import Run, write_atomically
from transferlab.sweep.job import Job
from transferlab.sweep.local.children import VERB
from transferlab.training.recorded_config import checked_record

FOLDER = "command"  # within a sweep's folder
_LONGEST_NAME = 50  # of a Kubernetes label's 63, with a prefix and a number


@dataclass(frozen=True)
class Submission:
    """A group of jobs that is, or was, handed to a command."""

    file: Path
    number: int
    folders: tuple[Path, ...]  # of the runs

    def line(self, template: str, allow: Sequence[str] = ()) -> str:
        """The line of shell that a template stands for."""
        job = [str(self.file), *([f"allow=[{','.join(allow)}]"] if allow else [])]
        values = {
            "command": shlex.join(command(VERB, *job)),
            "python": sys.executable,
            "folder": str(self.folders[0]),
            "name": self.file.stem,
            "number": str(self.number),
            "log": str(self.log),
        }
        quoted = {name: shlex.quote(value) for name, value in values.items()}
        return filled(template, {**quoted, "job": shlex.join(job)})

    @property
    def log(self) -> Path:
        """The file that the output of the command goes to."""
        return self.folders[0] / "log.txt"


def describe(jobs: Sequence[Job], folder: Path, number: int) -> Submission:
    """Write the file of a group into a folder that every machine sees."""
    stem = re.sub("[^a-z0-9]+", "-", jobs[0].run.path.name.lower()).strip("-")[-_LONGEST_NAME:].strip("-")
    attempt = 1 + len(list(folder.glob(f"tl-{stem}-*.json")))
    file = folder / f"tl-{stem}-{attempt}.json"
    described = [job.as_json() for job in jobs]
    for each in described:
        each["config"].pop("allow", None)
    content = {"number": number, "folder": str(Path.cwd()), "jobs": described}
    write_atomically(file, json.dumps(content, indent=1) + "\n")
    return Submission(file, number, tuple(job.run.path for job in jobs))


def submissions(folder: Path) -> list[Submission]:
    """All earlier ones of a sweep, the newest last."""
    found = []
    for file in sorted(folder.glob("tl-*.json"), key=lambda file: file.stat().st_mtime_ns):
        content = read_json(file, CommandFile)
        folders = tuple(_beside(file, job["run"]) for job in content["jobs"])
        found.append(Submission(file, content["number"], folders))
    return found


def described_runs(file: Path) -> list[Run]:
    """The runs of a file's jobs, in its own sweep; raises `UserError` where there is no such file."""
    return [Run(_beside(file, job["run"])) for job in read_json(file, CommandFile)["jobs"]]


def described_jobs(file: Path, allow: Sequence[str]) -> tuple[list[Job], str]:
    """The jobs of a file, their configs checked, and the folder that they are to be run from.

    Raises:
        UserError: no such file, or a config that does not fit or may not do what it wants.
    """
    content = read_json(file, CommandFile)
    jobs = []
    for each in content["jobs"]:
        config = checked_record(OmegaConf.create(each["config"]), file, allow)
        jobs.append(Job(config, Run(_beside(file, each["run"])), each["choices"], each["warnings"]))
    return jobs, str(content["folder"])


def _beside(file: Path, run: str) -> Path:
    """A run's folder in the sweep that a file belongs to, wherever this machine has it."""
    return file.resolve().parents[1] / Path(run).name
