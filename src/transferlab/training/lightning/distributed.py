"""Several processes for one run: the others start from the run folder's own config file."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from transferlab.run.run_folder import Run

if TYPE_CHECKING:  # a mistake in a config is reported before torch is imported
    import pytorch_lightning as pl
    from torch import nn

WORKER_VERB = "join"  # not listed: Lightning starts `transferlab join RUN` for each further process
_SET_BY_LAUNCHER = ("LOCAL_RANK", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE")


@contextlib.contextmanager
def launched_by_file(run: Run | None, allow: Sequence[str] = ()) -> Iterator[None]:
    """Within this, Lightning's launcher starts further processes by `transferlab join RUN`.

    It repeats the command line of this process otherwise: a whole sweep once more, or a notebook. `allow`
    are the user's own modules that the config names. Afterwards the process is as before, so that the next
    job of a sweep can launch its own.
    """
    from torch import distributed

    if run is None:  # one process: `fit` refuses several without a folder
        yield
        return
    arguments = sys.argv
    variables = {name: os.environ.get(name) for name in _SET_BY_LAUNCHER}
    sys.argv = [sys.argv[0], WORKER_VERB, str(run.path.resolve()), f"allow=[{','.join(allow)}]"]
    try:
        yield
    finally:
        sys.argv = arguments
        if _are_several():
            distributed.destroy_process_group()
        for name, value in variables.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def wrap_again(trainer: pl.Trainer) -> None:
    """Let DDP, if it is in use, average the gradients of what is trainable now, and of nothing else.

    DDP looks at `requires_grad` once, when it wraps: what is frozen then and opened later would train with
    gradients of its own in each process, silently; what is frozen later is still sent around, as zeros.
    (Without gradients of the backbone a step takes half as long so, and wrapping costs less than ten steps:
    benchmarks/results/ddp_unfreezing.md.)
    """
    from pytorch_lightning.strategies import DDPStrategy

    strategy = trainer.strategy
    if isinstance(strategy, DDPStrategy) and strategy.model is not trainer.lightning_module:
        strategy.model = trainer.lightning_module  # the old wrapper goes, and its hooks with it
        gc.collect()
        strategy.configure_ddp()


def of_all_processes(value: Any) -> list[Any]:
    """The values of all processes, in the order of their ranks; all of them must call this."""
    from torch import distributed

    if not _are_several():
        return [value]
    everyones: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(everyones, value)
    return everyones


def mean_over_processes(values: Mapping[str, float]) -> dict[str, float]:
    """The mean of each value over all processes, which have the same names."""
    everyones = of_all_processes(dict(values))
    return {name: sum(each[name] for each in everyones) / len(everyones) for name in values}


def agree_on_buffers(module: nn.Module) -> None:
    """Give every process the first one's buffers: batch norms' statistics differ, as their samples did."""
    import torch
    from torch import distributed

    if _are_several():
        for buffer in module.buffers():
            with torch.no_grad():
                distributed.broadcast(buffer, src=0)


def _are_several() -> bool:
    from torch import distributed

    return distributed.is_available() and distributed.is_initialized()
