"""Run the jobs of a sweep on a Slurm cluster, and wait for them without burdening it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from transferlab.run import signals
from transferlab.run.errors import UserError
from transferlab.sweep.job import Job, record_end
from transferlab.sweep.slurm import queue as slurm_queue
from transferlab.sweep.slurm.array import FOLDER, Submitted, submit, submitted_before
from transferlab.sweep.slurm.slurm_settings import SlurmSettings
from transferlab.sweep.sweep_progress import Progress, name_of, pause, say, yet_to_run

_LOOKS = 2  # that an end is seen before it is believed: a node that fails shows as an end before the requeue
_MENDS = {
    "TIMEOUT": "reached its time limit: raise hydra.launcher.timeout_min",
    "OUT_OF_MEMORY": "ran out of memory: raise hydra.launcher.mem_gb",
    "NODE_FAIL": "its node failed",
    "PREEMPTED": "preempted, and not put into the queue again",
}
_Known = Mapping[str, str] | None  # states by Slurm's ids; None: Slurm did not answer


def launch(jobs: Sequence[Job], settings: SlurmSettings, folder: Path) -> None:
    """Submit what has not finished as an array, and wait; each run's folder says how it ended.

    What is more than a cluster lets an array hold goes into further ones. `jobs_at_once` counts within an
    array, so with such a limit each waits for the one before.

    Jobs that an earlier call has submitted, and that Slurm still has, are waited for, not submitted again.

    Args:
        jobs: of a sweep.
        settings: what each requests.
        folder: of the sweep, where every node sees it.

    Raises:
        KeyboardInterrupt: by Ctrl-C or a request to end; the jobs go on, unless `cancel_on_interrupt`.
    """
    ours = folder / FOLDER
    with signals.collected() as requests:
        waited_for = _still_there(jobs, ours, settings, requests)
        there = [job for one in waited_for for job in one.jobs]
        groups, num_jobs, num_finished = yet_to_run(jobs, there)
        if waited_for:
            say(f"Slurm has {len(waited_for)} from before: {_ids(waited_for)}")
        new = _submitted(groups, settings, ours)
        if new:
            say(f"{len(new)} submitted to Slurm: {_ids(new)}; what they say is in {ours}")
        watch = _Watch([*waited_for, *new], Progress(num_jobs, num_finished, live=True), settings)
        try:
            watch.run(requests)
        except KeyboardInterrupt:
            watch.interrupted()
            raise


def _still_there(
    jobs: Sequence[Job], folder: Path, settings: SlurmSettings, requests: Sequence[int]
) -> list[Submitted]:
    """The jobs that Slurm has from before, queued or running.

    An id in the record counts only if Slurm says that the job came from this folder: a stranger's record
    could name any other job of the user, which `cancel_on_interrupt` would then cancel.
    """
    before = submitted_before(folder)
    if not before:
        return []
    while (known := slurm_queue.job_states(submitted_from=folder)) is None:
        say("squeue does not answer; asked again")
        pause(settings.poll_s, requests)
    by_name = {job.run.path.name: job for job in jobs}
    found = []
    for job_id, names in before.items():
        ours = [by_name[name] for name in names if name in by_name]
        if ours and known.get(job_id, "COMPLETED") not in slurm_queue.ENDED:
            found.append(Submitted(job_id, ours))
    return found


def _submitted(groups: Sequence[Sequence[Job]], settings: SlurmSettings, folder: Path) -> list[Submitted]:
    """Submit groups; what cannot be submitted is recorded as failed."""
    fitting: list[Sequence[Job]] = []
    for group in groups:
        if misfit := settings.misfit(group[0].config):
            record_end([job.run for job in group], "failed", misfit)
        else:
            fitting.append(group)
    found: list[Submitted] = []
    size = (slurm_queue.most_tasks_of_an_array() if len(fitting) > 1 else None) or len(fitting)
    while fitting:
        array, fitting = fitting[:size], fitting[size:]
        after = _array_of(found[-1]) if found and settings.jobs_at_once != "auto" else None
        try:
            found += submit(array, settings, folder, after=after)
        except UserError as error:
            record_end([job.run for group in array for job in group], "failed", str(error))
    return found


@dataclass
class _Waiting:
    """A group that Slurm has."""

    one: Submitted
    has_begun: bool = False
    is_running: bool = False
    seen_ended: int = 0


class _Watch:
    """Looks at the folders and at Slurm's queue until every group has ended."""

    def __init__(self, submitted: Sequence[Submitted], progress: Progress, settings: SlurmSettings) -> None:
        self.waiting = [_Waiting(one) for one in submitted]
        self.progress, self.settings = progress, settings

    def run(self, requests: Sequence[int]) -> None:
        """Wait for all, or for a request to end."""
        while self.waiting:
            pause(self.settings.poll_s, requests)
            known = slurm_queue.job_states()
            for each in list(self.waiting):
                self._look_at(each, known)

    def interrupted(self) -> None:
        """Print what becomes of the jobs."""
        self.progress.clear()
        left = [each.one for each in self.waiting]
        if not self.settings.cancel_on_interrupt:
            say(f"Slurm goes on with {len(left)}; to end them: scancel {_ids(left)}")
            return
        slurm_queue.cancel([one.job_id for one in left])
        unfinished = [job.run for one in left for job in one.jobs if job.run.status != "finished"]
        record_end(unfinished, "interrupted", "cancelled by Ctrl-C")

    def _look_at(self, each: _Waiting, known: _Known) -> None:
        jobs = each.one.jobs
        if all(job.run.status == "finished" for job in jobs):
            self._end(each)
            return
        if known is None:
            return
        state = known.get(each.one.job_id)
        if state is not None and state not in slurm_queue.ENDED:
            each.seen_ended = 0
            if state == "RUNNING":
                if not each.has_begun:
                    self.progress.begin(jobs)
                each.has_begun = each.is_running = True
            elif state == "PENDING" and each.is_running:
                self.progress.say(f"waits in the queue again: {name_of(jobs)}")
                each.is_running = False
            return
        each.seen_ended += 1
        if each.seen_ended == _LOOKS:
            self._record(each.one, state)
            self._end(each)

    def _record(self, one: Submitted, state: str | None) -> None:
        """Record how a task that is gone ended, where its folders do not say so."""
        runs = [job.run for job in one.jobs]
        silent = [run for run in runs if run.recorded_status in ("missing", "running")]
        told_to_end = [
            run for run in runs if run.recorded_status == "interrupted" and "error" not in run.result
        ]
        job = f"Slurm's job {one.job_id}"
        if state == "CANCELLED":
            record_end([*silent, *told_to_end], "interrupted", f"{job} was cancelled")
        elif state in _MENDS:
            record_end([*silent, *told_to_end], "failed", f"{job}: {_MENDS[state]}")
        else:
            how = "left the queue" if state is None else f"ended as {state}"
            record_end(silent, "failed", f"{job} {how} before the run had ended")

    def _end(self, each: _Waiting) -> None:
        self.waiting.remove(each)
        if not each.has_begun:
            self.progress.begin(each.one.jobs)
        self.progress.end(each.one.jobs)


def _ids(submitted: Sequence[Submitted]) -> str:
    """Slurm's ids, those of a whole array by the array's."""
    return " ".join(dict.fromkeys(map(_array_of, submitted)))


def _array_of(one: Submitted) -> str:
    return one.job_id.partition("_")[0]
