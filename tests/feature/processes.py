"""Forked children, which need not import torch again."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable


def children(number: int, job: Callable[[int], object]) -> list[int]:
    """Run `job(0)` to `job(number - 1)` at once; their exit codes, -signal for a killed one."""
    sys.stdout.flush()
    sys.stderr.flush()
    started = [_fork(job, index) for index in range(number)]
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in started]


def in_child(job: Callable[[], object]) -> int:
    """Run one job in a child; its exit code."""
    return children(1, lambda _: job())[0]


def _fork(job: Callable[[int], object], index: int) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        job(index)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
