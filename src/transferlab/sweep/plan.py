"""The plan of a sweep: each job with its folder, named by a hash of its config and inputs."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from transferlab.config.resolvers import plain_config
from transferlab.config.rules.contradictions import warnings_about
from transferlab.run.run_folder import Run, RunFolderError
from transferlab.sweep.job import Job, composed_job, failure_recorded
from transferlab.sweep.job_inputs import inputs_of, short_hash
from transferlab.sweep.run_jobs import IN_USE, TRACES
from transferlab.sweep.sweep_record import JOBS, SweepRecord
from transferlab.training.recorded_config import change, checked_record

Compose = Callable[[list[str], int], DictConfig]  # overrides and a number -> the config, without Hydra's part


class Plan:
    """Turns overrides into jobs in the sweep's folder, and writes them into its record.

    Args:
        command: the command line that repeats the sweep, for the record.
        folder: of the sweep; None: where Hydra puts the first job that it composes.

    Attributes:
        runs: of the jobs so far, each once.
    """

    def __init__(self, command: str = "", *, folder: Path | None = None) -> None:
        self.command = command
        self.runs: list[Run] = []
        self._record = None if folder is None else SweepRecord(folder)
        self._noted: set[str] = set()

    def jobs(
        self, overrides: Sequence[Sequence[str]], compose: Compose, *, first: int = 0
    ) -> list[Job | Run]:
        """Compose jobs and place them; only the run for each whose config or data cannot be used.

        Args:
            overrides: of each job.
            compose: leaves Hydra's part of the config in HydraConfig.
            first: number of the first job.
        """
        outer = HydraConfig.instance().cfg
        try:
            return [
                self.add(compose(list(each), number)) for number, each in enumerate(overrides, start=first)
            ]
        finally:
            HydraConfig.instance().cfg = outer

    def add(self, config: DictConfig) -> Job | Run:
        """The job that Hydra has composed; only its run if its config is wrong, recorded as failed."""
        found = composed_job(config)
        run = found.run if isinstance(found, Job) else found
        if self._record is None:
            self._record = SweepRecord(run.path.parent)
            self._record.describe(self.command)
        overrides = list(HydraConfig.get().overrides.task)
        if isinstance(found, Job):
            found = self._placed(found, overrides)
            run = found.run if isinstance(found, Job) else found
        else:
            self._record.add(
                {"base": run.path.name, "folder": run.path.name, "inputs": {}, "overrides": overrides}
            )
        if run.path not in [other.path for other in self.runs]:
            self.runs.append(run)
        return found

    def add_recorded(
        self, entry: Mapping[str, Any], allow: Sequence[str] = (), moved: Sequence[str] = ()
    ) -> Job | Run:
        """A job of the sweep's record; only its run if it cannot be run, recorded as failed.

        Args:
            entry: of the record.
            allow: the user's own modules that its config names.
            moved: where its data is now.
        """
        assert self._record is not None
        folder = self._record.folder
        run = Run(folder / entry["folder"])
        if "config" not in entry:  # it never fitted
            return run
        with failure_recorded([run]):
            config = plain_config(entry["config"], folder / JOBS)
            for text in moved:
                change(config, text)
            config = checked_record(config, folder / JOBS, allow)
            base = Run(folder / entry["base"])
            return self._placed(Job(config, base, entry.get("choices") or {}, warnings_about(config)), ())
        return run

    def _placed(self, job: Job, overrides: Sequence[str]) -> Job | Run:
        """The job in the folder that belongs to the data and weights as they are now.

        `job` is in the folder that its config gives, which is its base name. Where data or weights
        cannot be read, only the run is returned, recorded as failed.
        """
        assert self._record is not None
        base, inputs = job.run.path, dict[str, str]()
        with failure_recorded([job.run]):
            inputs = inputs_of(job.config)
        run = Run(base.with_name(f"{base.name}-{short_hash(inputs)}")) if inputs else job.run
        before = self._record.jobs.get(base.name, {})
        if before.get("inputs") and inputs:
            self._note_changes(sorted(name for name in inputs if inputs[name] != before["inputs"].get(name)))
        described = {key: value for key, value in job.as_json().items() if key != "run"}
        described["config"].pop("allow", None)  # a permission, which no file can give
        self._record.add(
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

    def _note_changes(self, changed: Sequence[str]) -> None:
        """Note once per sweep which inputs differ from those of the recorded jobs."""
        new = [name for name in changed if name not in self._noted]
        self._noted |= set(new)
        if new:
            sys.stdout.write(
                f"note: {', '.join(new)}: not the same files as when this sweep began. Its jobs are run "
                "anew, in folders of their own; earlier runs stay where they are, but are not compared.\n"
            )


def _adopt(earlier: Run, run: Run) -> None:
    """Take over the folder of an attempt that failed before it could read anything."""
    if earlier.path == run.path or not earlier.path.is_dir():
        return
    if not {file.name for file in earlier.path.iterdir()} <= TRACES | IN_USE:
        return
    with contextlib.suppress(RunFolderError), earlier.locked():
        if run.path.exists():
            shutil.rmtree(earlier.path)
        else:
            earlier.path.rename(run.path)
