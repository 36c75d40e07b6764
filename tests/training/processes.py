"""Run training in child processes that can really be killed, without importing torch again in each."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from functools import lru_cache

import torch

from transferlab.training import runs


@lru_cache(maxsize=1)
def _train_a_step() -> None:
    """Train here once before the first fork.

    What libraries import late and look up once in a process (scikit-learn, the grammar of Hydra's overrides,
    which classes are torchmetrics') is then there in every child: most of what a tiny training takes.
    """
    tiny = ["strategy=dann", "backbone=timm", "backbone.name=test_resnet", "backbone.weights=random"]
    data = ["data=digits_domains", "data.shots_per_class=1"]
    data += ["data.val_fraction=0.01", "data.test_fraction=0.01"]
    short = ["trainer.accelerator=cpu", "trainer.max_steps=1", "trainer.enable_progress_bar=false"]
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(torch.random.fork_rng(devices=[]))
        stack.enter_context(warnings.catch_warnings())
        runs.train([*tiny, *data, *short, f"hydra.run.dir={folder}/run"])


def in_child(action: Callable[[], object]) -> int:
    """Fork, run `action`, and return the child's wait status (0: it returned)."""
    _train_a_step()
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
