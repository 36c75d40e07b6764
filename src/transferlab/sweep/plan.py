"""Which folder of a sweep a job has: by what it is asked to do and by what it reads."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace

from transferlab.run.folder import Run, RunFolderError
from transferlab.sweep.group import HELD
from transferlab.sweep.job import Job, failure_recorded
from transferlab.sweep.job_inputs import inputs_of, short_hash
from transferlab.sweep.run_jobs import TRACES
from transferlab.sweep.sweep_record import SweepRecord


class Places:
    """Finds the folders of a sweep's jobs, and writes the jobs into its record.

    Args:
        record: of the sweep.
    """

    def __init__(self, record: SweepRecord) -> None:
        self.record = record
        self._told: set[str] = set()

    def placed(self, job: Job, overrides: Sequence[str] = ()) -> Job | Run:
        """The job in the folder that belongs to the data and weights of now.

        The run alone where these can not be read, recorded as failed.

        Args:
            job: in the folder that its config alone gives, which is its base name.
            overrides: what makes it this job of the sweep, for the record.
        """
        base, inputs = job.run.path, dict[str, str]()
        with failure_recorded([job.run]):
            inputs = inputs_of(job.config)
        run = Run(base.with_name(f"{base.name}-{short_hash(inputs)}")) if inputs else job.run
        before = self.record.jobs.get(base.name, {})
        if before.get("inputs") and inputs:
            self._tell(sorted(name for name in inputs if inputs[name] != before["inputs"].get(name)))
        described = {key: value for key, value in job.as_json().items() if key != "run"}
        described["config"].pop("allow", None)  # a permission, which no file can give
        self.record.add(
            {
                "base": base.name,
                "folder": run.path.name,
                "inputs": inputs or before.get("inputs", {}),
                "overrides": list(overrides) or before.get("overrides", []),
                **described,
            }
        )
        _adopt(job.run, run)
        return replace(job, run=run) if inputs else run

    def refused(self, run: Run, overrides: Sequence[str]) -> None:
        """Write down a job whose config is wrong; its folder has its base name."""
        name = run.path.name
        self.record.add({"base": name, "folder": name, "inputs": {}, "overrides": list(overrides)})

    def _tell(self, changed: Sequence[str]) -> None:
        """Say once what is no longer what it was when these jobs were asked for before."""
        new = [name for name in changed if name not in self._told]
        self._told |= set(new)
        if new:
            sys.stdout.write(
                f"note: {', '.join(new)}: not the same files as when this sweep began. Its jobs are run "
                "anew, in folders of their own; earlier runs stay where they are, but are not compared.\n"
            )


def _adopt(earlier: Run, run: Run) -> None:
    """Take over the folder of an attempt that failed before it could read anything."""
    if earlier.path == run.path or not earlier.path.is_dir():
        return
    if not {file.name for file in earlier.path.iterdir()} <= TRACES | HELD:
        return
    with contextlib.suppress(RunFolderError), earlier.locked():
        if run.path.exists():
            shutil.rmtree(earlier.path)
        else:
            earlier.path.rename(run.path)
