"""Groups of a sweep as tasks of a Slurm array, and what the cluster's controller says of them.

Arrays are submitted by submitit and recorded in the sweep's folder. The controller is asked, not the
accounting, since many clusters run none.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transferlab.run.errors import UserError
from transferlab.run.run_folder import write_atomically
from transferlab.sweep.job import Job
from transferlab.sweep.slurm.slurm_settings import SlurmSettings
from transferlab.sweep.slurm.slurm_task import SlurmTask

# From these a job does not come back by itself; squeue calls a requeued one PENDING or COMPLETING
ENDED = frozenset(
    {
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    }
)
_ANSWERS_WITHIN_S = 60


def job_states() -> dict[str, str] | None:
    """The states of this user's jobs by id, `12_3` for one of an array; None if Slurm does not answer now.

    Jobs stay known for a while after their end (`MinJobAge`, 5 minutes unless a cluster says otherwise).
    """
    done = _slurm("squeue", "--me", "--array", "--states=all", "--noheader", "--format=%i|%T")
    if done is None or done.returncode != 0:
        return None
    pairs = [line.split("|") for line in done.stdout.splitlines() if "|" in line]
    return {job_id.strip(): state.strip() for job_id, state in pairs}


def state_of(job_id: str) -> str | None:
    """The state of a job; None if Slurm does not know it, or does not answer."""
    done = _slurm("squeue", f"--jobs={job_id}", "--states=all", "--noheader", "--format=%T")
    return done.stdout.strip() or None if done is not None and done.returncode == 0 else None


def most_tasks_of_an_array() -> int | None:
    """The largest number of tasks of an array (`MaxArraySize`); None if Slurm does not say."""
    done = _slurm("scontrol", "show", "config")
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", done.stdout, re.MULTILINE) if done is not None else None
    return max(1, int(found[1])) if found else None  # 0: no arrays, so that each job is submitted by itself


def requeue(job_id: str) -> str | None:
    """Let Slurm end a job and start it again later; the reason if it refuses, else None."""
    done = _slurm("scontrol", "requeue", job_id)
    if done is None:
        return "Slurm does not answer"
    return None if done.returncode == 0 else done.stderr.strip()


def cancel(job_ids: Sequence[str]) -> None:
    """End jobs for good."""
    _slurm("scancel", *job_ids)


def _slurm(*command: str) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_ANSWERS_WITHIN_S, check=False)
    except subprocess.TimeoutExpired:
        return None


FOLDER = "slurm"  # within a sweep's folder: scripts, what the jobs say, which run is which job
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
            executor = SlurmExecutor(folder)
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
        found |= json.loads(file.read_text(encoding="utf-8"))
    return found
