"""Run training in child processes that can really be killed, without importing torch again in each."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Callable

from scripts.killing import in_child, was_killed

__all__ = ["command", "in_child", "kill_at_call", "was_killed"]


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


def command(arguments: list[str], *, prepare: Callable[[], object] = lambda: None) -> tuple[int, str, str]:
    """Run `transferlab ARGUMENTS` in a child; its exit code (-signal when killed), stdout and stderr."""
    from transferlab import cli

    streams = [tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")]  # noqa: SIM115 (closed below)

    def action() -> None:
        for descriptor, stream in enumerate(streams, start=1):
            os.dup2(stream.fileno(), descriptor)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        prepare()
        try:
            cli.main(arguments)
        except SystemExit as left:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(int(left.code or 0))

    status = in_child(action)
    texts = []
    for stream in streams:
        stream.seek(0)
        texts.append(stream.read())
        stream.close()
    return os.waitstatus_to_exitcode(status), texts[0], texts[1]
