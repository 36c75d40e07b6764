"""What the machine did, in a sentence."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from transferlab.run.errors import UserError
from transferlab.run.failures import explained


def of_system(number: int, *names: str) -> OSError:
    return OSError(number, os.strerror(number), *names)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            of_system(errno.ENOSPC, "run/x"),
            "run/x: no space is left on this disk. Fix: free some, then transferlab resume 'my run'",
        ),
        (of_system(errno.EDQUOT), "my run: no space is left on this disk."),
        (
            RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
            "my run: no",
        ),
        (
            of_system(errno.EACCES, "run/x"),
            "run/x: Permission denied. Fix: choose a place that you may use, or ask its owner",
        ),
        (
            of_system(errno.EISDIR, "x"),
            "x: Is a directory. Fix: move that folder away, then transferlab resume",
        ),
        (
            RuntimeError("DataLoader worker (pid 12) is killed by signal: Killed. "),
            "A data worker died (killed by signal: Killed; out of memory?). Fix: data.num_workers=0",
        ),
        (
            RuntimeError("DataLoader worker (pid 12) exited unexpectedly with exit code 7. Details are lost"),
            "A data worker died (exit code 7; out of memory?).",
        ),
        (RuntimeError("DataLoader timed out after 600 seconds"), "The data workers gave no batch for 600 s:"),
        (MemoryError(), "Out of memory: no memory is left Fix: a smaller data.batch_size"),
    ],
)
def test_known_ones(error, text):
    found = explained(error, Path("my run"))
    assert isinstance(found, UserError)
    assert str(found).startswith(text)


def test_a_cause_is_found_and_other_errors_are_left_alone():
    wrapped = ValueError("wrapped")
    wrapped.__cause__ = of_system(errno.ENOSPC, "x")
    assert str(explained(wrapped)).startswith("x: no space")
    assert explained(TypeError("a fault of the program")) is None
    assert explained(FileNotFoundError(errno.ENOENT, "gone")) is None
    assert explained(UserError("says it itself")) is None
