"""Plugins of Hydra: launchers (`local`, `slurm`, `command`), a sweeper (`optuna`), the user's `./conf`.

Hydra imports this whenever it starts. The work is done in `transferlab.sweep`, imported when it is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from transferlab.config.bounds import PositiveInt
from transferlab.config.config_files import users
from transferlab.sweep.search_settings import SearchSettings
from transferlab.sweep.shell.command_settings import CommandSettings
from transferlab.sweep.slurm.slurm_settings import SlurmSettings


class OwnConfigs(SearchPathPlugin):
    """Appends `./conf`, if there is one; a shipped config of the same name comes first."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Hydra calls this once when it starts."""
        own = users()
        if own is not None:
            search_path.append(provider="own-configs", path=f"file://{own}")


class _SweepLauncher(Launcher):
    """Plans the jobs that Hydra hands over."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Hydra calls this once, before the first jobs."""
        from transferlab.sweep.hydra_sweep import HydraSweep

        self.sweep = HydraSweep(hydra_context, task_function, config)


class LocalLauncher(_SweepLauncher):
    """Runs the jobs of a sweep in processes of their own on this machine."""

    def __init__(self, jobs_at_once: PositiveInt | Literal["auto"] = "auto") -> None:
        self.jobs_at_once = jobs_at_once

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run jobs, and return how each ended."""
        from transferlab.sweep.local.local_launcher import launch

        return self.sweep.run(
            job_overrides, initial_job_idx, lambda jobs: launch(jobs, jobs_at_once=self.jobs_at_once)
        )


@dataclass(kw_only=True)
class SlurmLauncher(SlurmSettings, _SweepLauncher):
    """Runs the jobs of a sweep on a cluster."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run jobs, and return how each ended."""
        from transferlab.sweep.slurm.slurm_launcher import launch

        # alone: a task is pickled with its settings
        settings = SlurmSettings(**{each.name: getattr(self, each.name) for each in fields(SlurmSettings)})
        return self.sweep.run(
            job_overrides, initial_job_idx, lambda jobs: launch(jobs, settings, self.sweep.folder)
        )


@dataclass(kw_only=True)
class CommandLauncher(CommandSettings, _SweepLauncher):
    """Runs the jobs of a sweep by command lines of the user's."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run jobs, and return how each ended."""
        from transferlab.sweep.shell.command_launcher import launch

        return self.sweep.run(
            job_overrides, initial_job_idx, lambda jobs: launch(jobs, self, self.sweep.folder)
        )


@dataclass(kw_only=True)
class OptunaSweeper(SearchSettings, Sweeper):
    """Searches among the values of a sweep instead of trying every combination."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Hydra calls this once, before the search."""
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Search among what these overrides stand for."""
        from transferlab.sweep.optuna_search import search

        assert self.launcher is not None, "Hydra calls setup first"
        assert self.config is not None, "Hydra calls setup first"
        search(arguments, self, self.launcher, self.config)
