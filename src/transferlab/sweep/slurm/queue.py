"""Slurm's queue: states of our jobs, from the controller, since many clusters run no accounting."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

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


def job_states(submitted_from: Path | None = None) -> dict[str, str] | None:
    """The states of this user's jobs by id, `12_3` for one of an array; None if Slurm does not answer now.

    Jobs stay known for a while after their end (`MinJobAge`, 5 minutes unless a cluster says otherwise).

    Args:
        submitted_from: only jobs whose batch script lies in this folder; None: all.
    """
    done = _slurm("squeue", "--me", "--array", "--states=all", "--noheader", "--format=%i|%T|%o")
    if done is None or done.returncode != 0:
        return None
    found = [line.split("|", 2) for line in done.stdout.splitlines() if line.count("|") >= 2]
    return {
        job_id.strip(): state.strip()
        for job_id, state, script in found
        if submitted_from is None or Path(script.strip()).parent.resolve() == submitted_from.resolve()
    }


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
