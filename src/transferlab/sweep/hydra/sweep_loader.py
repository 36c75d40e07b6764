"""Composing the jobs of a sweep: the files that they have in common are read once."""

from __future__ import annotations

import copy

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf


class SweepLoader(ConfigLoaderImpl):
    """Hydra's loader, about ten times faster for jobs that choose the same options and differ in values.

    Values never decide which files are read: Hydra sets them in the composed config, and so does this, in a
    copy. They are told from options by `++`, which `transferlab train -m` puts before every `key=value`.
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
