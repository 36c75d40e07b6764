"""Lightning's Trainer and its loggers, from the config."""

from __future__ import annotations

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback, EMAWeightAveraging
from pytorch_lightning.loggers import Logger

from transferlab.run.folder import Run
from transferlab.training import loggers
from transferlab.training.build import Experiment, make
from transferlab.training.checkpoints import Checkpoints
from transferlab.training.progress import progress_callbacks, shows_bars
from transferlab.training.record import HistoryFile


def make_trainer(config: DictConfig, run: Run, experiment: Experiment, told: list[Logger]) -> pl.Trainer:
    """The Trainer with the callbacks of a run, telling these loggers.

    Raises:
        UserError: a device, precision or flag that Lightning does not have here.
    """
    return make(
        config.trainer,
        logger=told,
        callbacks=_callbacks(config, run, experiment),
        enable_checkpointing=True,
        enable_progress_bar=shows_bars(config),
        use_distributed_sampler=False,
        default_root_dir=str(run.path),
    )


def make_loggers(config: DictConfig, run: Run) -> list[Logger]:
    """The loggers of the config, told of it."""
    nodes = (config.logger or {}).values()
    made = [make(node, folder=str(run.path), run_id=loggers.run_id(run.path)) for node in nodes]
    loggers.log_config(made, config)
    return made


def _callbacks(config: DictConfig, run: Run, experiment: Experiment) -> list[Callback]:
    """Progress, the record, the moving average where asked for, and checkpoints last."""
    averaging: list[Callback] = []
    if experiment.fit.ema_decay is not None:
        averaging = [EMAWeightAveraging(decay=experiment.fit.ema_decay)]
    keep_best = experiment.module.strategy.selection == "val_loss"
    return [
        *progress_callbacks(config),
        HistoryFile(run),
        *averaging,
        Checkpoints(run.path / "checkpoints", experiment.fit, keep_best=keep_best),
    ]
