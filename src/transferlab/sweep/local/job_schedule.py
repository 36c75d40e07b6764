"""The schedule of a sweep on this machine: how many jobs run at once, and what each gets."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from omegaconf import DictConfig

from transferlab.training.fit_settings import on_one_device

GIB_EACH = 4.0  # of memory, for a job on the CPU: a network, its gradients and a few batches of photos


@dataclass(frozen=True)
class Schedule:
    """Share of the machine that each job of a sweep gets."""

    at_once: int  # how many run beside each other
    cores: int | None  # of each; None where one job has them all
    gpus: tuple[str, ...] = ()  # the ones to be shared out, one for each that runs; empty if no job uses one

    def variables(self, place: int) -> dict[str, str]:
        """The environment of the job at a place, 0 to `at_once` - 1."""
        from transferlab.data.loading.workers import SHARE

        found = {}
        if self.cores is not None:
            names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
            found = {SHARE: str(self.cores), **dict.fromkeys(names, str(self.threads))}
        if self.gpus and self.at_once > 1:
            found["CUDA_VISIBLE_DEVICES"] = self.gpus[place % len(self.gpus)]
        return found

    @property
    def threads(self) -> int | None:
        """With how many each computes: one a core, or fewer if the user said so."""
        if self.cores is None:
            return None
        asked = os.environ.get("OMP_NUM_THREADS", "")
        return min(self.cores, int(asked)) if asked.isdigit() and int(asked) > 0 else self.cores


def make_schedule(configs: Sequence[DictConfig], jobs_at_once: int | Literal["auto"]) -> Schedule:
    """The schedule for groups of these configs.

    `auto`: one job on each GPU; on the CPU one on each core, as long as each has `GIB_EACH` of memory.
    Several small computations beside each other are faster than one that is spread over all cores.
    """
    from transferlab.data.loading.workers import all_cores

    sharing = [config for config in configs if not needs_the_machine(config)]
    on_gpu = any(uses_gpu(config) for config in sharing)
    gpus = visible_gpus() if on_gpu else ()
    if jobs_at_once != "auto":
        most = jobs_at_once
    elif on_gpu:
        most = min(len(gpus), all_cores())
    else:
        most = min(all_cores(), int(free_memory_gib() / GIB_EACH))
    at_once = max(1, min(most, len(sharing)))
    return Schedule(at_once, max(1, all_cores() // at_once) if at_once > 1 else None, gpus)


def needs_the_machine(config: DictConfig) -> bool:
    """True if a job needs the machine for itself: it uses several devices, or ones chosen by hand."""
    return not on_one_device(config.trainer)


def uses_gpu(config: DictConfig) -> bool:
    """True if a job runs on something other than the CPU."""
    return config.trainer.accelerator != "cpu" and (
        config.trainer.accelerator != "auto" or bool(visible_gpus())
    )


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; CUDA is not initialised."""
    import torch

    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return tuple(named[:count]) if named else tuple(str(index) for index in range(count))


def free_memory_gib() -> float:
    """GiB that can be allocated without swapping, also in a container; infinite where not known."""
    free = [float("inf")]
    if (file := Path("/proc/meminfo")).is_file():
        lines = file.read_text(encoding="utf-8").splitlines()
        free += [int(line.split()[1]) / 2**20 for line in lines if line.startswith("MemAvailable:")]
    group = Path("/sys/fs/cgroup")
    if (group / "memory.max").is_file() and (limit := (group / "memory.max").read_text().strip()) != "max":
        free.append((int(limit) - int((group / "memory.current").read_text())) / 2**30)
    return min(free)
