"""Child processes that are really killed: forked, so that torch is not imported again in each.

For `make faults` and for the tests.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch

from transferlab.training import runs

PATIENCE_S = 300.0  # for a child that should have ended


@lru_cache(maxsize=1)
def train_a_step() -> None:
    """Train here once before the first fork.

    What libraries import late and look up once in a process (scikit-learn, the grammar of Hydra's overrides,
    which classes are torchmetrics') is then there in every child: most of what a tiny training takes.
    """
    tiny = ["strategy=dann", "backbone=timm", "backbone.name=test_resnet", "backbone.weights=random"]
    data = ["data=digits_domains", "data.shots_per_class=1"]
    data += ["data.val_fraction=0.01", "data.test_fraction=0.01"]
    short = [
        "trainer.accelerator=cpu",
        "trainer.max_epochs=1",
        "trainer.max_steps=1",
        "trainer.enable_progress_bar=false",
    ]
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(torch.random.fork_rng(devices=[]))
        stack.enter_context(warnings.catch_warnings())
        runs.train([*tiny, *data, *short, f"hydra.run.dir={folder}/run"])


def start(action: Callable[[], object], *, log: Path | None = None) -> int:
    """Fork a child that does this; its process id. Its output is appended to `log`, if one is given."""
    train_a_step()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child != 0:
        return child
    status = 1
    try:
        if log is not None:
            sys.stdout = sys.stderr = log.open("a", buffering=1)
            for descriptor in (1, 2):
                os.dup2(sys.stdout.fileno(), descriptor)
        action()
        status = 0
    except SystemExit as left:
        status = int(left.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def ended(child: int) -> int:
    """Wait for a child; its wait status (0: its action returned). One that never ends is killed."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return status
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise TimeoutError(f"a child had not ended after {PATIENCE_S:.0f} s")


def in_child(action: Callable[[], object], *, log: Path | None = None) -> int:
    """Do this in a child, and return the wait status (0: it returned)."""
    return os.waitpid(start(action, log=log), 0)[1]


def was_killed(status: int) -> bool:
    """Whether a wait status says SIGKILL."""
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def killed_after(child: int, seconds: float) -> bool:
    """Kill a child so many seconds from now; false if it has ended before."""
    deadline = time.monotonic() + seconds
    return killed_when(child, lambda: time.monotonic() >= deadline, look_every_s=0.002)


def killed_when(child: int, condition: Callable[[], bool], *, look_every_s: float = 0.0) -> bool:
    """Kill a child at the moment a condition holds; false if it has ended before."""
    if not reached(child, condition, look_every_s=look_every_s):
        return False
    os.kill(child, signal.SIGKILL)
    return was_killed(os.waitpid(child, 0)[1])


def reached(child: int, condition: Callable[[], bool], *, look_every_s: float = 0.0) -> bool:
    """Wait until a condition holds; false if the child has ended before."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise TimeoutError(f"a child had not come so far after {PATIENCE_S:.0f} s")
        if look_every_s:
            time.sleep(look_every_s)
    return True


def kill_half_written(name: str, which: int = 1, *, pause_s: float = 0.0) -> None:
    """Make this process kill itself when half of the `which`-th file (from 1) of this name is written.

    Args:
        name: under which the file would appear, `*` for any; what is written until then has another.
        which: of the files of this name.
        pause_s: from the half of the file to the kill.
    """
    original, count = Path.write_bytes, 0

    def write_half(self: Path, data: bytes) -> int:
        nonlocal count
        is_it = self.name.endswith((".making", ".tmp")) and (name == "*" or self.match(f".{name}.*.making"))
        count += is_it
        if is_it and count == which:
            with self.open("wb") as file:
                file.write(data[: len(data) // 2])
                file.flush()
                time.sleep(pause_s)
                os.kill(os.getpid(), signal.SIGKILL)
        return original(self, data)

    Path.write_bytes = write_half  # type: ignore[method-assign]
