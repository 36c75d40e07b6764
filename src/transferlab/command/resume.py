"""`transferlab resume RUN` or `SWEEP`; and `join`, by which further processes take part in a run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from transferlab.command.arguments import folders_and_overrides, only_folder
from transferlab.config.overrides import allowed_and_rest
from transferlab.run.run_folder import Run
from transferlab.sweep.run_jobs import members_of

HELP = """\
transferlab resume RUN [data.root=DIR] [allow=[module,...]]
transferlab resume SWEEP [data.root=DIR] [hydra.launcher.KEY=VALUE ...]

Go on with a run that was killed, interrupted or failed, from its last checkpoint. The outcome is that of a
run left alone, bit for bit on the same machine. `allow` names your own modules, as when you trained.
`data.root` (or data.source.root, data.target.root, data.source.table) says where the data is now, if it has
moved; it must be the same data.
Runs of a sweep that train together (group.json names them) are run again together, from the start.

Of a sweep what has finished stays, what was cut short goes on, what is missing or has failed is run; then its
runs are compared. Jobs are those that the sweep's folder records, whatever has become of the config files.
Where images or weights have changed since, jobs are run anew beside the earlier ones, with a note. Settings
of the launcher may be other ones. Lines of shell and further options of a scheduler are not taken from the
record: give them again.
"""


def run(arguments: Sequence[str]) -> int:
    """Resume one run or one sweep; the exit code is 0 when all has finished."""
    path, allow, overrides = _path_and_allow(arguments)
    if (path / "sweep.json").is_file():
        return _resume_sweep(path, allow, overrides)
    if Run(path).status == "finished":
        left = [run.path for run in members_of(Run(path)) if run.status != "finished"]
        mend = f"; one that trains with it has not: transferlab resume {left[0]}" if left else ""
        sys.stdout.write(f"this run has finished already{mend}\n")
    else:
        from transferlab.sweep.resume import resume

        resume(path, allow=allow, overrides=overrides)
    sys.stdout.write(f"{path}\n")
    return 0 if Run(path).status == "finished" else 1


def _resume_sweep(folder: Path, allow: Sequence[str], overrides: Sequence[str]) -> int:
    from transferlab.command.train import conclude
    from transferlab.sweep.resume import resume_sweep

    try:
        runs = resume_sweep(folder, allow=allow, overrides=overrides)
    except KeyboardInterrupt:
        sys.stderr.write(f"To go on: transferlab resume {folder}\n")
        raise
    return conclude(folder, runs)


def join(arguments: Sequence[str]) -> int:
    """Take part in a run as a further process; the first one holds its lock and writes."""
    path, allow, _ = _path_and_allow(arguments)
    from transferlab.training.runs import join as join_run

    join_run(path, allow=allow)
    return 0


def _path_and_allow(arguments: Sequence[str]) -> tuple[Path, list[str], list[str]]:
    allow, rest = allowed_and_rest(arguments)
    paths, overrides = folders_and_overrides(rest)
    return only_folder(paths, verb="resume", of="run or sweep"), allow, overrides
