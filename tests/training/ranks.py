"""Two processes of one run on the CPU, as a cluster's launcher starts them, forked from the test."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from tests.training.processes import in_child
from transferlab.training import runs
from transferlab.training.lightning import lightning_fit  # noqa: F401 (once here, not in every child)

WORLD_SIZE = 2
_GIVE_UP_S = 100


def on_ranks(action: Callable[[int], Any]) -> list[Any]:
    """What `action(rank)` returns in each of two processes that know of each other by their environment.

    Raises:
        AssertionError: one of them failed, or they wait for each other for ever.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    whole = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0"}
    with tempfile.TemporaryDirectory() as folder:
        return _run(action, whole, [Path(folder) / f"{rank}.pt" for rank in range(WORLD_SIZE)])


def _run(action: Callable[[int], Any], whole: Mapping[str, str], files: Sequence[Path]) -> list[Any]:

    def run(rank: int) -> None:
        os.environ.update(whole, RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(WORLD_SIZE))
        signal.alarm(_GIVE_UP_S)
        torch.save(action(rank), files[rank])

    def both() -> None:
        other = os.fork()
        if other == 0:
            os._exit(os.waitstatus_to_exitcode(in_child(lambda: run(1))) != 0)
        run(0)
        assert os.waitpid(other, 0)[1] == 0, "the second process failed"

    assert in_child(both) == 0, "the first process failed"
    return [torch.load(file, weights_only=False) for file in files]


def train_on_ranks(
    folder: str, overrides: Sequence[str], *, prepare: Callable[[], Callable[[], Any]]
) -> list[Any]:
    """Train as one run; `prepare` is called first in each process, and in the end what it returns."""
    ddp = ["trainer=ddp", "trainer.accelerator=cpu", f"trainer.devices={WORLD_SIZE}"]

    def action(rank: int) -> Any:
        result = prepare()
        runs.train([*overrides, *ddp, f"hydra.run.dir={folder}"])
        return result()

    return on_ranks(action)
