"""Go on with a run that was cut short: by itself, or with the group that it trains in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transferlab.run.folder import Run
from transferlab.sweep.job import failure_recorded, recorded_job
from transferlab.sweep.together import members_of, run_group
from transferlab.sweep.work import keep_threads
from transferlab.training import api


def resume(path: str | Path, *, allow: Sequence[str] = ()) -> Run:
    """Go on with a run from its last checkpoint; a group is run again as a whole, in this process.

    How each member of a group ended is in its folder.

    Args:
        path: the run's folder.
        allow: the user's own modules that its config names.

    Raises:
        UserError: no run there, a config that does not fit this version, or a run by itself has failed again.
    """
    run = Run(Path(path).resolve())
    keep_threads(run)
    members = members_of(run)
    if len(members) < 2:
        return api.resume(path, allow=allow)
    with api.in_its_folder(run), failure_recorded(members):
        run_group([recorded_job(member, allow) for member in members])
    return run
