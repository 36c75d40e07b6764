"""Run the jobs of a sweep by command lines of the user's: each runs a job, or submits one to some engine."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from transferlab.run import signals
from transferlab.run.run_folder import Run
from transferlab.sweep.job import Job, record_end
from transferlab.sweep.shell.command_settings import CommandSettings
from transferlab.sweep.shell.job_file import FOLDER, Submission, describe, submissions
from transferlab.sweep.sweep_progress import Progress, pause, say, yet_to_run

GRACE_S = 30.0  # for a command to end after Ctrl-C, before it is killed
_ANSWERS_WITHIN_S = 60  # the lines `alive` and `cancel`
_LOOK_EVERY_S = 0.1  # at commands that run here
_LOOKS = 2  # that an end is seen before it is believed: an engine may start a job again elsewhere
_LAST_LINES, _LAST_CHARACTERS = 3, 500  # of what a command has said

_Version = tuple[int, int] | None


def launch(jobs: Sequence[Job], settings: CommandSettings, folder: Path) -> None:
    """Run what has not finished; each run's folder says how it ended.

    Jobs that an earlier call has begun, and that still run or that the engine still has (`alive`), are waited
    for, not begun again.

    Args:
        jobs: of a sweep.
        settings: the command, and what is waited for.
        folder: of the sweep, where every machine sees it.

    Raises:
        signals.Stopped: by Ctrl-C or a request to end. Commands that run here are ended; what has been
            submitted goes on, unless `cancel_on_interrupt`.
    """
    ours = folder / FOLDER
    allow = list(jobs[0].config.get("allow") or []) if jobs else []
    with signals.collected() as requests:
        waited_for = _still_there(jobs, ours, settings)
        there = [job for one in waited_for for job in one.jobs]
        groups, num_jobs, num_finished = yet_to_run(jobs, there)
        if waited_for:
            say(f"{len(waited_for)} run from before: {' '.join(one.name for one in waited_for)}")
        if groups:
            say(f"what the commands say is in log.txt of each run folder, what they are given in {ours}")
        progress = Progress(num_jobs, num_finished, live=True)
        _Launch(groups, waited_for, settings, ours, allow, progress).run(requests)


@dataclass(kw_only=True)
class _Begun:
    """A group that a command runs, or has submitted."""

    jobs: Sequence[Job]
    submission: Submission
    process: subprocess.Popen[bytes] | None = None  # None: an earlier call's
    since: float = field(default_factory=time.monotonic)
    log_from: int = 0  # where this attempt begins in the log
    before: Sequence[_Version] = ()  # of each result.json when it was begun
    seen_ended: int = 0
    next_look: float = 0.0

    @property
    def name(self) -> str:
        return self.submission.file.stem

    @property
    def runs(self) -> list[Run]:
        return [job.run for job in self.jobs]


class _Launch:
    """Commands that come and go until every group has had its turn."""

    def __init__(
        self,
        groups: list[list[Job]],
        waited_for: list[_Begun],
        settings: CommandSettings,
        folder: Path,
        allow: Sequence[str],
        progress: Progress,
    ) -> None:
        self.waiting, self.running, self.settings = groups, waited_for, settings
        self.folder, self.allow, self.progress = folder, allow, progress
        self.number = 0
        one_by_one = settings.wait == "command" and settings.jobs_at_once == "auto"
        at_once = 1 if one_by_one else settings.jobs_at_once
        self.at_once = len(groups) + len(waited_for) if at_once == "auto" else at_once
        for one in waited_for:
            progress.begin(one.jobs)

    def run(self, requests: Sequence[int]) -> None:
        """Go on until all have ended, or there is a request to end."""
        try:
            while self.waiting or self.running:
                while self.waiting and len(self.running) < self.at_once and not requests:
                    self._begin(self.waiting.pop(0))
                pause(_LOOK_EVERY_S, requests)
                for one in list(self.running):
                    self._look_at(one)
        except signals.Stopped:
            self.progress.clear()
            self._stop(requests)
            raise

    def _begin(self, group: Sequence[Job]) -> None:
        for job in group:
            job.run.path.mkdir(parents=True, exist_ok=True)
        before = [_version(job.run) for job in group]
        submission = describe(group, self.folder, self.number)
        self.number += 1
        with submission.log.open("ab") as log:
            log_from = log.tell()
            process = subprocess.Popen(
                submission.line(self.settings.template, self.allow),
                shell=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches it through us
            )
        self.running.append(
            _Begun(jobs=group, submission=submission, process=process, log_from=log_from, before=before)
        )
        self.progress.begin(group)

    def _look_at(self, one: _Begun) -> None:
        code = None if one.process is None else one.process.poll()
        limit = self.settings.timeout_min
        if limit is not None and time.monotonic() - one.since > 60 * limit:
            self._time_out(one, f"not finished within hydra.launcher.timeout_min={limit:g}")
        elif one.process is not None and code is None:
            return
        elif code is not None and (code != 0 or self.settings.wait == "command"):
            mend = ". Fix: hydra.launcher.wait=record, if it only submits" if code == 0 else ""
            reason = f"its command ended with exit code {code} before the run had{mend}"
            self._leave(one, _silent(one), "failed", reason)
        elif time.monotonic() >= one.next_look:
            one.next_look = time.monotonic() + self.settings.poll_s
            one.seen_ended = one.seen_ended + 1 if self._seems_ended(one) else 0
            if one.seen_ended >= _LOOKS or all(run.status == "finished" for run in one.runs):
                self._leave(one, _silent(one), "failed", "lost by its engine, or ended, before the run had")

    def _seems_ended(self, one: _Begun) -> bool:
        """True if what the command has submitted is over: by `alive` if there is one, else by the folders."""
        if any(run.is_in_use for run in one.runs):
            return False
        if self.settings.alive is not None:
            return not _succeeds(one.submission.line(self.settings.alive))
        return all(
            run.recorded_status == "finished" or _version(run) != before
            for run, before in zip(one.runs, one.before, strict=True)
        )

    def _time_out(self, one: _Begun, reason: str) -> None:
        """End a group that takes too long, as far as that can be done from here."""
        _interrupt([one])
        deadline = time.monotonic() + GRACE_S
        if self.settings.cancel is not None:
            _succeeds(one.submission.line(self.settings.cancel))
        while _runs_here(one) and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY_S)
        _kill([one])
        while any(run.is_in_use for run in one.runs) and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY_S)
        self._leave(one, [run for run in one.runs if run.status != "finished"], "failed", reason)

    def _stop(self, requests: Sequence[int]) -> None:
        """End what runs here: as Ctrl-C would, and by force if that takes too long or is asked for again."""
        here = [one for one in self.running if self.settings.wait == "command" or _runs_here(one)]
        there = [one for one in self.running if one not in here]
        _interrupt(here)
        cancelled = [*here, *(there if self.settings.cancel_on_interrupt else [])]
        if self.settings.cancel is not None:
            for one in cancelled:
                _succeeds(one.submission.line(self.settings.cancel))
        deadline = time.monotonic() + GRACE_S
        while any(map(_runs_here, here)) and time.monotonic() < deadline and len(requests) < 2:
            time.sleep(_LOOK_EVERY_S)
        _kill(here)
        for one in cancelled:
            begun = [run for run in one.runs if run.recorded_status == "running"]
            self._leave(one, begun, "interrupted", "cancelled by Ctrl-C")
        if self.running:
            names = " ".join(one.name for one in self.running)
            say(f"{len(self.running)} go on: {names}; the same command waits for them again")

    def _leave(self, one: _Begun, runs: Sequence[Run], status: str, reason: str) -> None:
        """A group has ended: record how with these runs, but for one that a process still works in."""
        self.running.remove(one)
        record_end([run for run in runs if not run.is_in_use], status, reason + _last_words(one))
        for run in runs:
            if run.is_in_use:
                self.progress.say(f"{run.path.name}: {reason}, but a process still works in its folder")
        self.progress.end(one.jobs)


def _still_there(jobs: Sequence[Job], folder: Path, settings: CommandSettings) -> list[_Begun]:
    """The groups of earlier calls that run, or that the engine still has."""
    by_path = {job.run.path: job for job in jobs}
    newest = {path: each for each in submissions(folder) for path in each.folders}
    found = []
    for each in dict.fromkeys(newest.values()):
        ours = [by_path[path] for path in each.folders if path in by_path]
        if all(job.run.status == "finished" for job in ours):
            continue
        is_alive = settings.alive is not None and _succeeds(each.line(settings.alive))
        if is_alive or any(job.run.is_in_use for job in ours):
            found.append(_Begun(jobs=ours, submission=each, before=[None] * len(ours)))
    return found


def _silent(one: _Begun) -> list[Run]:
    """The runs whose records do not say how this attempt has ended."""
    pairs = zip(one.runs, one.before, strict=True)
    unchanged = [run for run, before in pairs if _version(run) == before]
    return [
        run
        for run in one.runs
        if run.recorded_status == "running" or (run in unchanged and run.recorded_status != "finished")
    ]


def _version(run: Run) -> _Version:
    """Distinguishes a run's record from what is written there later; None: there is none."""
    file = run.path / "result.json"
    if not file.is_file():
        return None
    status = file.stat()
    return status.st_mtime_ns, status.st_ino


def _last_words(one: _Begun) -> str:
    """The last lines that a command has said in this attempt, without control characters."""
    if not one.submission.log.is_file():
        return ""
    with one.submission.log.open("rb") as log:
        log.seek(one.log_from)
        text = log.read().decode(errors="replace")
    lines = [re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", line).strip() for line in text.splitlines()]
    said = " | ".join([line for line in lines if line][-_LAST_LINES:])[-_LAST_CHARACTERS:]
    return f": {said}" if said else ""


def _succeeds(line: str) -> bool:
    """Run a line of shell that should answer soon; whether it has succeeded."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        quiet = subprocess.DEVNULL
        done = subprocess.run(
            line, shell=True, stdin=quiet, stdout=quiet, stderr=quiet, timeout=_ANSWERS_WITHIN_S, check=False
        )
        return done.returncode == 0
    return False


def _runs_here(one: _Begun) -> bool:
    return one.process is not None and one.process.poll() is None


def _interrupt(begun: Sequence[_Begun]) -> None:
    _signal(begun, signal.SIGINT)


def _kill(begun: Sequence[_Begun]) -> None:
    _signal(begun, signal.SIGKILL)
    for one in begun:
        if one.process is not None:
            one.process.wait()


def _signal(begun: Sequence[_Begun], number: int) -> None:
    """To all processes of the commands that run here: each is a session of its own."""
    for one in begun:
        if one.process is not None and one.process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(one.process.pid, number)
