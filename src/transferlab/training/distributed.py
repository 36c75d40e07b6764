"""Several processes for one run: the others start from the run folder's own config file."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import distributed, nn

from transferlab.run.folder import Run

WORKER_VERB = "join"  # not listed: Lightning starts `transferlab join RUN` for each further process
_SET_BY_LAUNCHER = ("LOCAL_RANK", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE")


@contextlib.contextmanager
def launched_by_file(run: Run, allow: Sequence[str] = ()) -> Iterator[None]:
    """Within this, Lightning's launcher starts further processes by `transferlab join RUN`.

    It repeats the command line of this process otherwise: a whole sweep once more, or a notebook. `allow`
    are the user's own modules that the config names. Afterwards the process is as before, so that the next
    job of a sweep can launch its own.
    """
    arguments = sys.argv
    variables = {name: os.environ.get(name) for name in _SET_BY_LAUNCHER}
    sys.argv = [sys.argv[0], WORKER_VERB, str(run.path.resolve()), f"allow=[{','.join(allow)}]"]
    try:
        yield
    finally:
        sys.argv = arguments
        if distributed.is_available() and distributed.is_initialized():
            distributed.destroy_process_group()
        for name, value in variables.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def is_worker() -> bool:
    """Whether this process joins a run that another one leads."""
    return any(int(os.environ.get(name, 0)) > 0 for name in ("LOCAL_RANK", "NODE_RANK"))


def mean_over_processes(figures: Mapping[str, float]) -> dict[str, float]:
    """The mean of each figure over all processes, which have the same figures."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return dict(figures)
    everyones: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(everyones, dict(figures))
    return {name: sum(each[name] for each in everyones) / len(everyones) for name in figures}


def agree_on_buffers(module: nn.Module) -> None:
    """Give every process the first one's buffers: batch norms' statistics differ, as their samples did."""
    if distributed.is_available() and distributed.is_initialized():
        for buffer in module.buffers():
            with torch.no_grad():
                distributed.broadcast(buffer, src=0)
