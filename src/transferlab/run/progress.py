"""Progress of long work on stderr: a bar on a terminal, a line a minute in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

FIRST_LINE_S = 10.0
LINE_S = 60.0


@contextmanager
def progress(text: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """A function to call with the number of things that were done since the last call.

    Args:
        text: the work, e.g. `Reading and checking`.
        total: number of things.
        unit: the things, e.g. `images`.
    """
    if not sys.stderr.isatty():
        yield _Lines(text, total, unit).advance
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(text), BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(text, total=total)
        yield lambda number: bar.advance(task, number)


class _Lines:
    def __init__(self, text: str, total: int, unit: str) -> None:
        self.text, self.total, self.unit = text, total, unit
        self.done, self.since = 0, time.monotonic()
        self.due_s = FIRST_LINE_S

    def advance(self, number: int) -> None:
        self.done += number
        passed_s = time.monotonic() - self.since
        if passed_s < self.due_s or not 0 < self.done < self.total:
            return
        self.due_s = passed_s + LINE_S
        left_min = passed_s / self.done * (self.total - self.done) / 60
        sys.stderr.write(
            f"{self.text}: {self.done} of {self.total} {self.unit}, about {left_min:.0f} min left\n"
        )
