"""Progress of a sweep on the terminal: what runs, what has ended."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence

from transferlab.run import signals
from transferlab.run.printable import printable_lines
from transferlab.sweep.job import Job
from transferlab.sweep.run_jobs import pending_groups


class Progress:
    """Prints groups that begin and end; on a terminal also, in one line, those that run.

    Args:
        total: how many jobs there are.
        done: how many of them had finished before.
        live: whether the terminal is ours alone; else the output of a job comes in between.
    """

    def __init__(self, total: int, done: int, *, live: bool) -> None:
        self.total, self.done, self.live = total, done, live
        self._running: dict[str, float] = {}  # name: when it began
        self._drawn = False

    def begin(self, jobs: Sequence[Job]) -> None:
        """A group begins."""
        name = name_of(jobs)
        self._running[name] = time.monotonic()
        if self.live:
            self._draw()
        else:
            self.say(f"\n{name}")

    def end(self, jobs: Sequence[Job]) -> None:
        """A group has ended, as its folders say."""
        seconds = time.monotonic() - self._running.pop(name_of(jobs))
        self.done += len(jobs)
        statuses = [job.run.status for job in jobs]
        counts = {status: statuses.count(status) for status in dict.fromkeys(statuses)}
        ended = ", ".join(
            status if len(jobs) == 1 else f"{count} {status}" for status, count in counts.items()
        )
        if self.live or statuses != ["finished"] * len(jobs):
            self.say(f"{ended}: {name_of(jobs)}  {seconds:.1f} s  ({self.done} of {self.total})")
        self._draw()

    def say(self, text: str) -> None:
        """A line that stays."""
        self.clear()
        say(text)

    def clear(self) -> None:
        """Take the line of what runs away."""
        if self._drawn:
            sys.stdout.write("\r\x1b[2K")
            sys.stdout.flush()
            self._drawn = False

    def _draw(self) -> None:
        if not (self.live and self._running and sys.stdout.isatty()):
            return
        width = shutil.get_terminal_size().columns
        text = f"{self.done} of {self.total} ended; running: {', '.join(self._running)}"
        sys.stdout.write(f"\r\x1b[2K{text if len(text) < width else text[: width - 4] + '...'}")
        sys.stdout.flush()
        self._drawn = True


def name_of(jobs: Sequence[Job]) -> str:
    """A group's name: its job's, or its first job's and how many train with it."""
    first = jobs[0].run.path.name
    return first if len(jobs) == 1 else f"{first} and {len(jobs) - 1} more together"


def yet_to_run(jobs: Sequence[Job], elsewhere: Sequence[Job] = ()) -> tuple[list[list[Job]], int, int]:
    """The groups that have yet to run, the number of all jobs, and of those finished before, which is said.

    Args:
        jobs: of a sweep.
        elsewhere: those of them that run already.
    """
    running = {job.run.path for job in elsewhere}
    groups = pending_groups([job for job in jobs if job.run.path not in running])
    num_jobs = len({job.run.path for job in jobs} | {job.run.path for group in groups for job in group})
    num_finished = num_jobs - sum(map(len, groups)) - len(running)
    if num_finished:
        say(f"{num_finished} of {num_jobs} finished before, not run again")
    return groups, num_jobs, num_finished


def pause(seconds: float, requests: Sequence[int]) -> None:
    """Wait; a request to end is heard at once.

    Raises:
        signals.Stopped: there is one.
    """
    deadline = time.monotonic() + seconds
    while not requests and time.monotonic() < deadline:
        time.sleep(min(0.2, max(0.0, deadline - time.monotonic())))
    if requests:
        raise signals.Stopped(requests[0])


def say(text: str) -> None:
    """A line on the terminal, at once."""
    sys.stdout.write(printable_lines(text) + "\n")
    sys.stdout.flush()
