"""The processes of one run: the first of the first machine leads and writes, the others join it."""

from __future__ import annotations

import os
import time

from transferlab.run.errors import UserError
from transferlab.run.run_folder import Run

_PATIENCE_S = 600.0  # the leading process may look through all images first


def is_worker() -> bool:
    """True if this process joins a run that another one leads."""
    return any(int(os.environ.get(name, 0)) > 0 for name in ("RANK", "LOCAL_RANK", "NODE_RANK"))


def started_together() -> bool:
    """True if torchrun, or a launcher that sets the same variables, started this process among several."""
    return "LOCAL_RANK" in os.environ and int(os.environ.get("WORLD_SIZE", 1)) > 1


def wait_for_leader(run: Run) -> None:
    """Return when the leading process has begun this run.

    Raises:
        UserError: it does not; its own message says why.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while run.recorded_status != "running":
        if time.monotonic() > deadline:
            raise UserError(f"{run.path}: the leading process has not begun this run in {_PATIENCE_S:.0f} s.")
        time.sleep(0.05)
