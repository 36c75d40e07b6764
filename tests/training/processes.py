"""Run training in child processes that can really be killed, without importing torch again in each."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable


def in_child(action: Callable[[], object]) -> int:
    """Fork, run `action`, and return the child's wait status (0: it returned)."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        try:
            action()
            status = 0
        except BaseException:
            traceback.print_exc()
            status = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return os.waitpid(child, 0)[1]


def was_killed(status: int) -> bool:
    """Whether a wait status says SIGKILL."""
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def kill_at_call(owner: type, method: str, call: int) -> None:
    """Make the process kill itself at the `call`-th call (from 1) of a method."""
    original = getattr(owner, method)
    calls = 0

    def counting(*args: object, **kwargs: object) -> object:
        nonlocal calls
        calls += 1
        if calls == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)

    setattr(owner, method, counting)
