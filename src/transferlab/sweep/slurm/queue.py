"""What Slurm knows of our jobs. Asks the controller, not the accounting, which many clusters do not keep."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence

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
    told = _slurm("squeue", "--me", "--array", "--states=all", "--noheader", "--format=%i|%T")
    if told is None or told.returncode != 0:
        return None
    pairs = [line.split("|") for line in told.stdout.splitlines() if "|" in line]
    return {job_id.strip(): state.strip() for job_id, state in pairs}


def state_of(job_id: str) -> str | None:
    """The state of a job; None if Slurm does not know it, or does not answer."""
    told = _slurm("squeue", f"--jobs={job_id}", "--states=all", "--noheader", "--format=%T")
    return told.stdout.strip() or None if told is not None and told.returncode == 0 else None


def most_tasks_of_an_array() -> int | None:
    """How many tasks an array may have on this cluster (`MaxArraySize`); None if Slurm does not say."""
    told = _slurm("scontrol", "show", "config")
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", told.stdout, re.MULTILINE) if told is not None else None
    return max(1, int(found[1])) if found else None  # 0: no arrays, so that each job is submitted by itself


def requeue(job_id: str) -> str | None:
    """Let Slurm end a job and start it again later; what it says against it, or None."""
    told = _slurm("scontrol", "requeue", job_id)
    if told is None:
        return "Slurm does not answer"
    return None if told.returncode == 0 else told.stderr.strip()


def cancel(job_ids: Sequence[str]) -> None:
    """End jobs for good."""
    _slurm("scancel", *job_ids)


def _slurm(*command: str) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_ANSWERS_WITHIN_S, check=False)
    except subprocess.TimeoutExpired:
        return None
