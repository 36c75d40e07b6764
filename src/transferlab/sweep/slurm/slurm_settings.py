"""Settings of a sweep on Slurm: what each job requests."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from omegaconf import DictConfig

from transferlab.config.bounds import PositiveFloat, PositiveInt


@dataclass(kw_only=True)
class SlurmSettings:
    """The `hydra.launcher` section of a config with `hydra/launcher=slurm`, whose YAML describes it."""

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    timeout_min: PositiveInt = 240
    nodes: PositiveInt = 1
    tasks_per_node: PositiveInt = 1
    cpus_per_task: PositiveInt = 4
    gpus_per_node: PositiveInt | None = None
    mem_gb: PositiveFloat | None = 16.0
    jobs_at_once: PositiveInt | Literal["auto"] = "auto"
    requeue: bool = True
    signal_delay_s: PositiveInt = 120
    shell_before: Sequence[str] = ()
    further: Sequence[str] = ()
    poll_s: PositiveFloat = 10.0
    cancel_on_interrupt: bool = False

    def for_submitit(self) -> dict[str, Any]:
        """The parameters of `submitit.SlurmExecutor`."""
        further = [option.removeprefix("--").partition("=") for option in self.further]
        asked = {
            "job_name": "transferlab",
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "constraint": self.constraint,
            "time": self.timeout_min,
            "nodes": self.nodes,
            "ntasks_per_node": self.tasks_per_node,
            "cpus_per_task": self.cpus_per_task,
            "gpus_per_node": self.gpus_per_node,
            "mem": None if self.mem_gb is None else f"{round(1024 * self.mem_gb)}M",
            "array_parallelism": sys.maxsize if self.jobs_at_once == "auto" else self.jobs_at_once,
            "signal_delay_s": self.signal_delay_s,
            "setup": list(self.shell_before) or None,
            "stderr_to_stdout": True,
            "additional_parameters": {
                "requeue" if self.requeue else "no-requeue": True,
                **{name: value if equals else True for name, equals, value in further},
            },
            # since 22.05 srun does not take over the cores that sbatch was asked for
            "srun_args": [f"--cpus-per-task={self.cpus_per_task}", "--kill-on-bad-exit=1"],
        }
        return {name: value for name, value in asked.items() if value is not None}

    def misfit(self, config: DictConfig) -> str | None:
        """Why a job does not fit what Slurm would start for it; None where it does."""
        trainer, processes = config.trainer, self.nodes * self.tasks_per_node
        given = f"trainer.num_nodes={trainer.num_nodes} trainer.devices={trainer.devices}"
        if trainer.num_nodes != self.nodes:
            fix = f"set trainer.num_nodes={self.nodes}"
        elif processes > 1 and trainer.devices != self.tasks_per_node:
            fix = f"set trainer.devices={self.tasks_per_node}"
        else:
            return None
        started = f"hydra.launcher.nodes={self.nodes} hydra.launcher.tasks_per_node={self.tasks_per_node}"
        return f"{given}: Slurm would start {processes} processes of each job ({started}); {fix}."
