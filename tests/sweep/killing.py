"""Sweeps that are killed as a power cut would: every process at once, at chosen points of their progress."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from pathlib import Path

from tests.training.processes import command
from transferlab.run.run_folder import Run


def progress(folder: str) -> int:
    """Epochs that the runs of a sweep have recorded, and one more for each that has finished."""
    epochs = 0
    for run in map(Run, Path(folder).glob("*/")):
        epochs += run.status == "finished"
        history = run.path / "history.csv"
        if history.is_file():
            epochs += len(history.read_text().splitlines()) - 1
    return epochs


def run_until(arguments: list[str], folder: str, wanted: int) -> int:
    """Run a command until a sweep has progressed so far, then kill it with all that it has started.

    Returns:
        Its exit code; -9 where it was killed.
    """

    def watched() -> None:
        parent = os.getpid()
        if os.fork() != 0:
            return
        # a child that outlives the command: it watches from outside
        deadline = time.monotonic() + 300
        while progress(folder) < wanted and time.monotonic() < deadline:
            if os.getppid() != parent:
                os._exit(0)  # the command has ended before
            time.sleep(0.02)
        for pid in [parent, *descendants(parent, without=os.getpid())]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        os._exit(0)

    return command(arguments, prepare=watched)[0]


def descendants(pid: int, *, without: int) -> list[int]:
    """The processes that a process has started, and those that they have."""
    try:
        files = list(Path(f"/proc/{pid}/task").glob("*/children"))
        children = [int(child) for file in files for child in file.read_text().split()]
    except OSError:
        return []
    own = [child for child in children if child != without]
    return own + [further for child in own for further in descendants(child, without=without)]


def killed_and_resumed(arguments: list[str], folder: str, *, kills: int, total: int, seed: int) -> None:
    """Start a sweep, kill it at random points of its progress, each time going on, and let it end.

    Args:
        arguments: of the command that starts it.
        folder: of the sweep.
        kills: how often.
        total: the progress of a finished sweep.
        seed: of the points.
    """
    points = sorted(random.Random(seed).sample(range(1, total - 1), kills))
    for number, point in enumerate(points):
        # by turns in the two ways that go on
        again = arguments if number % 2 == 0 else ["resume", folder]
        assert run_until(again, folder, point) == -signal.SIGKILL
        assert progress(folder) < total
    code, shown, said = command(["resume", folder])
    assert code == 0, shown + said
