"""Child processes of a sweep: started warm by fork where that is safe, else fresh; ended without orphans."""

from __future__ import annotations

import contextlib
import ctypes
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from transferlab.run.processes import command
from transferlab.sweep.job import Job
from transferlab.training.heads.sharing import shares_a_fit

VERB = "job"  # not listed: `transferlab job` runs the jobs that its standard input describes
NOTHING_DONE = 3  # exit code of a child that found a folder in use
INTERRUPTED = 130


@dataclass(frozen=True)
class Child:
    """A process that runs one group of a sweep, in a session of its own: Ctrl-C reaches it through us."""

    pid: int
    exit_code: Callable[[], int | None]  # None while it runs; -9 if SIGKILL ended it

    def interrupt(self) -> None:
        """Let it end as by Ctrl-C: it records that it was interrupted."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGINT)

    def kill(self) -> None:
        """End it at once."""
        if self.exit_code() is None:
            os.kill(self.pid, signal.SIGKILL)

    def sweep_up(self) -> None:
        """When it is gone, end what it has started: readers of images, further processes of the run."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def start(
    jobs: Sequence[Job], *, warm: bool, log: Path | None, variables: Mapping[str, str], threads: int | None
) -> Child:
    """Start a child that runs these jobs.

    Args:
        jobs: one, or a group.
        warm: fork this process, with all that it has imported.
        log: where its output goes, appended; None: where that of this process goes.
        variables: of its environment, beside those of this process.
        threads: with how many to compute; None: as many as there are.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if warm:
        forked = multiprocessing.get_context("fork").Process(
            target=_forked, args=(jobs, log, variables, threads)
        )
        forked.start()
        assert forked.pid is not None
        return Child(forked.pid, lambda: forked.exitcode)
    with tempfile.TemporaryFile("w+") as described, contextlib.ExitStack() as closing:
        json.dump({"jobs": [job.as_json() for job in jobs]}, described)
        described.seek(0)
        output = closing.enter_context(log.open("a")) if log else None
        fresh = subprocess.Popen(
            command(VERB),
            stdin=described,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            env={**os.environ, **variables},
            start_new_session=True,
        )
    return Child(fresh.pid, fresh.poll)


def may_fork() -> bool:
    """True if a fork of this process is safe: on Linux, without threads of Python, without CUDA in use."""
    import torch

    return sys.platform == "linux" and threading.active_count() == 1 and not torch.cuda.is_initialized()


def warm_up(configs: Sequence[DictConfig]) -> None:
    """Import, once for all children, what these configs name; nothing is computed here."""
    import_module("transferlab.training.train")
    if not all(shares_a_fit(config) for config in configs):
        import_module("transferlab.training.lightning.lightning_fit")
    plain = [OmegaConf.to_container(config) for config in configs]
    for target in sorted({target for config in plain for target in _targets(config)}):
        module = target.rpartition(".")[0]
        if module.startswith("transferlab."):  # a user's own is imported where it runs, whatever it does
            import_module(module)


def run_as_child(work: Callable[[], bool]) -> int:
    """Do a child's work, and return its exit code; ends like Ctrl-C when its parent is gone."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    return run_as_job(work)


def run_as_job(work: Callable[[], bool]) -> int:
    """The same for a process that outlives the one that has started it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # it may have been ignored
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return 0 if work() else NOTHING_DONE
    except KeyboardInterrupt:
        return INTERRUPTED


def _forked(jobs: Sequence[Job], log: Path | None, variables: Mapping[str, str], threads: int | None) -> None:
    os.setsid()
    os.environ.update(variables)
    if log is not None:
        sys.stdout = sys.stderr = log.open("a", buffering=1)
        for descriptor in (1, 2):  # of what is not written by Python
            os.dup2(sys.stdout.fileno(), descriptor)

    def action() -> bool:
        from transferlab.sweep.run_jobs import run_jobs

        if threads is not None:
            import torch

            torch.set_num_threads(threads)
        return run_jobs(jobs)

    sys.exit(run_as_child(action))


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield str(node["_target_"])
        for value in node.values():
            yield from _targets(value)
