"""A sweep as Hydra runs it: overrides in, the plan's jobs launched, their ends returned to Hydra."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, filter_overrides
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from transferlab.run.run_folder import Run
from transferlab.sweep.hydra.sweep_loader import SweepLoader
from transferlab.sweep.hydra.sweep_task import Task
from transferlab.sweep.job import Job
from transferlab.sweep.search.search_settings import figure_of


class HydraSweep:
    """A sweep as Hydra sees it; made when Hydra sets a launcher up."""

    def __init__(self, context: HydraContext, task: TaskFunction, config: DictConfig) -> None:
        assert isinstance(task, Task), "this launcher runs the sweeps of transferlab alone"
        context.config_loader = SweepLoader(context.config_loader)  # for the sweeper too
        self.context, self.task, self.config = context, task, config

    @property
    def folder(self) -> Path:
        """Where the run folders are."""
        return Path(str(self.config.hydra.sweep.dir)).resolve()

    def run(
        self,
        job_overrides: Sequence[Sequence[str]],
        initial_job_idx: int,
        launch: Callable[[Sequence[Job]], None],
    ) -> Sequence[JobReturn]:
        """Compose jobs and launch those whose configs are right; each run's folder says how it ended."""
        planned = self.task.plan.jobs(job_overrides, self._compose, first=initial_job_idx)
        launch([each for each in planned if isinstance(each, Job)])
        returns = []
        for each, overrides in zip(planned, job_overrides, strict=True):
            run = each.run if isinstance(each, Job) else each
            returned = JobReturn(overrides=filter_overrides(overrides), working_dir=str(run.path))
            # Hydra's own sweeper wants no values, and would end the sweep at the first job that failed
            failed = run.status != "finished" and not self._sweeper_wants_no_values()
            returned.status = JobStatus.FAILED if failed else JobStatus.COMPLETED
            returned.return_value = RuntimeError(run.result.get("error")) if failed else self._figure(run)
            returns.append(returned)
        return returns

    def _compose(self, overrides: list[str], number: int) -> DictConfig:
        """A job's config without Hydra's part, which HydraConfig then holds."""
        config = self.context.config_loader.load_sweep_config(self.config, overrides)
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        HydraConfig.instance().set_config(config)  # what the folder's name is made from; read-only from here
        with open_dict(config), read_write(config.hydra.runtime):
            folder = Path(str(config.hydra.sweep.dir), str(config.hydra.sweep.subdir)).resolve()
            config.hydra.runtime.output_dir = str(folder)
        HydraConfig.instance().set_config(config)
        return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])

    def _figure(self, run: Run) -> float | None:
        """What a sweeper that searches optimises."""
        name = self.config.hydra.sweeper.get("optimize")
        return None if name is None else figure_of(run, str(name))

    def _sweeper_wants_no_values(self) -> bool:
        return str(self.config.hydra.sweeper._target_).startswith("hydra._internal.core_plugins.")
