"""Lightning's Trainer, from the config."""

from __future__ import annotations

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback, EMAWeightAveraging
from pytorch_lightning.loggers import Logger

from transferlab.config.instantiation import make
from transferlab.run.folder import Run
from transferlab.training.checkpoints import Checkpoints
from transferlab.training.module import TransferModule
from transferlab.training.progress import HistoryFile, progress_callbacks, shows_bars


def make_trainer(
    config: DictConfig, run: Run, module: TransferModule, told: list[Logger], *, reload: bool
) -> pl.Trainer:
    """The Trainer with the callbacks of a run, telling these loggers.

    With `reload` it asks for loaders anew in each epoch.

    Raises:
        UserError: a device, precision or flag that Lightning does not have here.
    """
    every = config.trainer.reload_dataloaders_every_n_epochs
    return make(
        config.trainer,
        reload_dataloaders_every_n_epochs=1 if reload else every,
        logger=told,
        callbacks=_callbacks(config, run, module),
        enable_checkpointing=True,
        enable_progress_bar=shows_bars(config),
        use_distributed_sampler=False,
        default_root_dir=str(run.path),
    )


def _callbacks(config: DictConfig, run: Run, module: TransferModule) -> list[Callback]:
    """Progress, the record, the moving average where asked for, and checkpoints last."""
    averaging: list[Callback] = []
    if module.fit.ema_decay is not None:
        averaging = [EMAWeightAveraging(decay=module.fit.ema_decay)]
    return [
        *progress_callbacks(config),
        HistoryFile(run),
        *averaging,
        Checkpoints(run.path / "checkpoints", module.fit, selection=module.strategy.selection),
    ]
