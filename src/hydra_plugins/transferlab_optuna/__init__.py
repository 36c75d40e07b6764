"""Lets Hydra search instead of trying every combination: `hydra/sweeper=optuna`."""

from __future__ import annotations

from dataclasses import dataclass

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from transferlab.sweep.search_settings import SearchSettings


@dataclass(kw_only=True)
class OptunaSweeper(SearchSettings, Sweeper):
    """Takes how to search, and hands it to `transferlab.sweep.optuna_search`."""

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
