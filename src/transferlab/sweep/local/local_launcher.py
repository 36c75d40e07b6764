"""Run the jobs of a sweep in processes of their own, several at once; one that dies leaves the others."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from transferlab.run import signals
from transferlab.sweep.job import Job, record_end
from transferlab.sweep.local import children
from transferlab.sweep.local.children import Child
from transferlab.sweep.local.job_schedule import Schedule, make_schedule, needs_the_machine, uses_gpu
from transferlab.sweep.sweep_progress import Progress, say, yet_to_run

GRACE_S = 30.0  # for a child to end after Ctrl-C, before it is killed
_LOOK_EVERY_S = 0.05


@dataclass(frozen=True)
class _Running:
    jobs: Sequence[Job]
    child: Child
    place: int  # which share it has


def launch(jobs: Sequence[Job], *, jobs_at_once: int | Literal["auto"] = "auto") -> None:
    """Run what has not finished; each run's folder says how it ended.

    Args:
        jobs: of a sweep.
        jobs_at_once: how many processes beside each other; a job on several devices runs by itself.

    Raises:
        signals.Stopped: by Ctrl-C or a request to end; no child is left.
    """
    groups, num_jobs, num_finished = yet_to_run(jobs)
    if not groups:
        return
    schedule = make_schedule([group[0].config for group in groups], jobs_at_once)
    if schedule.at_once > 1:
        threads = "1 thread" if schedule.threads == 1 else f"{schedule.threads} threads"
        say(f"{schedule.at_once} at once, {threads} each; what they say is in log.txt of each run folder")
    progress = Progress(num_jobs, num_finished, live=schedule.at_once > 1)
    whole = _Launch(groups, schedule, progress)
    with signals.collected() as requests:
        whole.run(requests)


class _Launch:
    """Children that come and go until every group has had its turn."""

    def __init__(self, groups: list[list[Job]], schedule: Schedule, progress: Progress) -> None:
        self.waiting, self.schedule, self.progress = groups, schedule, progress
        self.running: list[_Running] = []
        self.may_fork = children.may_fork() and any(self._on_cpu(group) for group in groups)
        if self.may_fork and len(groups) > 1:
            children.warm_up([group[0].config for group in groups if self._on_cpu(group)])

    def run(self, requests: Sequence[int]) -> None:
        """Go on until all have ended, or there is a request to end."""
        try:
            while self.waiting or self.running:
                if requests:
                    raise signals.Stopped(requests[0])
                while self.waiting and self._fits(self.waiting[0]):
                    self._begin(self.waiting.pop(0))
                time.sleep(_LOOK_EVERY_S)
                for one in list(self.running):
                    if (code := one.child.exit_code()) is not None:
                        self._end(one, code)
        finally:
            self._stop(requests)

    def _fits(self, group: Sequence[Job]) -> bool:
        if any(needs_the_machine(jobs[0].config) for jobs in (group, *(one.jobs for one in self.running))):
            return not self.running
        return len(self.running) < self.schedule.at_once

    def _begin(self, group: Sequence[Job]) -> None:
        for job in group:
            job.run.path.mkdir(parents=True, exist_ok=True)
        exclusive = needs_the_machine(group[0].config)
        place = min(set(range(self.schedule.at_once)) - {one.place for one in self.running})
        child = children.start(
            group,
            warm=self.may_fork and self._on_cpu(group),
            log=group[0].run.path / "log.txt" if self.schedule.at_once > 1 else None,
            variables={} if exclusive else self.schedule.variables(place),
            threads=None if exclusive else self.schedule.threads,
        )
        self.running.append(_Running(group, child, place))
        self.progress.begin(group)

    def _end(self, one: _Running, code: int, *, stopped: bool = False) -> None:
        """Record how a child that is gone ended, where its folders do not say so."""
        one.child.sweep_up()
        self.running.remove(one)
        cut_short = [job.run for job in one.jobs if job.run.recorded_status in ("missing", "running")]
        begun = [run for run in cut_short if run.recorded_status == "running"]
        if code == children.INTERRUPTED or stopped:
            record_end(begun, "interrupted")
        elif code != children.NOTHING_DONE:
            again = [job.run for job in one.jobs if code != 0 and job.run.status == "interrupted"]
            record_end([*cut_short, *again], "failed", _reason(code))
        self.progress.end(one.jobs)

    def _stop(self, requests: Sequence[int]) -> None:
        """End what still runs: as Ctrl-C would, and by force if that takes too long or is asked for again."""
        self.progress.clear()
        for one in self.running:
            one.child.interrupt()
        deadline = time.monotonic() + GRACE_S
        while any(one.child.exit_code() is None for one in self.running):
            if time.monotonic() > deadline or len(requests) > 1:
                break
            time.sleep(_LOOK_EVERY_S)
        for one in self.running:
            one.child.kill()
        for one in list(self.running):
            while (code := one.child.exit_code()) is None:
                time.sleep(_LOOK_EVERY_S)
            self._end(one, code, stopped=True)

    def _on_cpu(self, group: Sequence[Job]) -> bool:
        return not needs_the_machine(group[0].config) and not uses_gpu(group[0].config)


def _reason(code: int) -> str:
    if code < 0:
        names = {number.value: number.name for number in signal.Signals}  # real-time signals have none
        return f"killed by {names.get(-code, f'signal {-code}')}"
    return f"its process ended with exit code {code} before the run had"
