"""Groups of a sweep as tasks of a Slurm array, submitted by submitit and recorded in the sweep's folder."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transferlab.run.errors import UserError
from transferlab.run.processes import command
from transferlab.run.reading import read_json
from transferlab.run.run_folder import write_atomically
from transferlab.sweep.job import Job
from transferlab.sweep.slurm.slurm_settings import SlurmSettings
from transferlab.sweep.slurm.slurm_task import SlurmTask

FOLDER = "slurm"  # within a sweep's folder: scripts, what the jobs say, which run is which job
TASK = "task"  # not listed: `transferlab task` is what submitit would start as `python -m`
_RECORD = "runs_of_{}.json"


@dataclass(frozen=True)
class Submitted:
    """A group that Slurm has: its jobs, and Slurm's id of the task that runs them (`12_3`, or `12` alone)."""

    job_id: str
    jobs: Sequence[Job]


def submit(
    groups: Sequence[Sequence[Job]], settings: SlurmSettings, folder: Path, *, after: str | None = None
) -> list[Submitted]:
    """Hand groups to Slurm as one array; its files go into `folder`, which every node must see.

    Args:
        groups: no more than an array may have tasks.
        settings: what each requests.
        folder: made if it is not there.
        after: Slurm's id of an array that must have ended before this one begins.

    Raises:
        UserError: Slurm refuses them.
    """
    from submitit import SlurmExecutor, helpers
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    folder.mkdir(parents=True, exist_ok=True)
    tasks = [SlurmTask([job.as_json() for job in group], settings) for group in groups]
    try:
        with helpers.clean_env():  # the sweep itself may have been started from within a job
            executor = SlurmExecutor(folder, python=shlex.join(command(TASK)))
            executor.update_parameters(**settings.for_submitit(), dependency=after and f"afterany:{after}")
            handed = executor.submit_array(tasks)
    except (FailedJobError, FailedSubmissionError) as error:
        raise UserError(f"Slurm refuses the jobs: {error}") from error
    found = [Submitted(job.job_id, group) for job, group in zip(handed, groups, strict=True)]
    names = {one.job_id: [job.run.path.name for job in one.jobs] for one in found}
    record = _RECORD.format(found[0].job_id.partition("_")[0])
    write_atomically(folder / record, json.dumps(names, indent=2) + "\n")
    return found


def submitted_before(folder: Path) -> dict[str, list[str]]:
    """The names of the run folders by Slurm's id of the task that was to run them, of all earlier arrays."""
    found: dict[str, list[str]] = {}
    for file in sorted(folder.glob(_RECORD.format("*"))):
        found |= read_json(file, dict[str, list[str]])
    return found
