"""A sweep as Hydra runs it: its loader, the task function of its jobs, and the link to our launchers."""

from __future__ import annotations

import contextlib
import copy
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus, filter_overrides
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from transferlab.run.run_folder import Run
from transferlab.sweep.job import Job
from transferlab.sweep.plan import Plan
from transferlab.sweep.search_settings import metric_of, own_score


class HydraSweep:
    """A sweep as Hydra sees it; made when Hydra sets a launcher up."""

    def __init__(self, context: HydraContext, task: TaskFunction, config: DictConfig) -> None:
        assert isinstance(task, Task), "this launcher runs only sweeps of transferlab"
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
        """Value that a sweeper optimises in a search."""
        sweeper = self.config.hydra.sweeper
        if "optimize" not in sweeper or run.status != "finished":
            return None
        return own_score(run).oriented if sweeper.optimize is None else metric_of(run, str(sweeper.optimize))

    def _sweeper_wants_no_values(self) -> bool:
        return str(self.config.hydra.sweeper._target_).startswith("hydra._internal.core_plugins.")


class SweepLoader(ConfigLoaderImpl):
    """Hydra's loader, about ten times faster for jobs that choose the same options and differ in values.

    Values never decide which files are read: Hydra sets them in the composed config, and so does this, in a
    copy. `++`, which `transferlab train -m` puts before every `key=value`, distinguishes them from options.
    """

    def __init__(self, loader: ConfigLoader) -> None:
        super().__init__(loader.get_search_path())
        self._composed: dict[tuple[str, ...], DictConfig] = {}

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """The config of a job, as Hydra composes it."""
        overrides = OverridesParser.create().parse_overrides(sweep_overrides)
        options = tuple(str(override.input_line) for override in overrides if not override.is_force_add())
        if options not in self._composed:
            self._composed[options] = super().load_sweep_config(master_config, list(options))
        config = copy.deepcopy(self._composed[options])
        self._apply_overrides_to_config([each for each in overrides if each.is_force_add()], config)
        config.hydra.overrides.task = list(sweep_overrides)
        naming = config.hydra.job.config.override_dirname
        config.hydra.job.override_dirname = get_overrides_dirname(
            overrides=overrides,
            kv_sep=naming.kv_sep,
            item_sep=naming.item_sep,
            exclude_keys=naming.exclude_keys,
        )
        OmegaConf.copy_cache(from_config=master_config, to_config=config)
        return config


class Task:
    """Runs a job in this process, for launchers of others; our own launchers take its plan only.

    Args:
        command: the command line that repeats the sweep, for its record.
    """

    def __init__(self, command: str = "") -> None:
        self.plan = Plan(command)

    def __call__(self, config: DictConfig) -> None:
        """Run what Hydra has composed, unless it has finished before; a failure is recorded, not raised."""
        made_by_hydra = HydraConfig.get().runtime.output_dir
        job = self.plan.add(config)
        if not isinstance(job, Job):
            return
        with contextlib.suppress(OSError):
            Run(made_by_hydra).path.rmdir()  # empty, and not the one that is used
        sys.stdout.write(f"\n{job.run.path.name}\n")
        if job.run.status == "finished":
            sys.stdout.write("finished before, not run again\n")
            return
        from transferlab.sweep.run_jobs import run_jobs

        run_jobs([job])
