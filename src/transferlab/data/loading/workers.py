"""The number of processes that read images."""

from __future__ import annotations

import os
import sys

MOST = 8
SHARE = "TRANSFERLAB_CORES"  # set in the jobs of a sweep that run beside others


def choose_workers(num_workers: int | str, *, in_memory: bool) -> int:
    """`auto`: none for data in memory, else one for each core but one, 8 at most."""
    if num_workers != "auto":
        return int(num_workers)
    return 0 if in_memory else max(1, min(usable_cores() - 1, MOST))


def usable_cores() -> int:
    """The cores that this process may use, not those that the machine has; beside other jobs, its share."""
    share = os.environ.get(SHARE)
    return int(share) if share else all_cores()


def all_cores() -> int:
    """The cores that this process and those beside it may use together."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
