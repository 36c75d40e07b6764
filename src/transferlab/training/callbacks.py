"""The callbacks of a training, from the config."""

from __future__ import annotations

from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback, EMAWeightAveraging

from transferlab.run.folder import Run
from transferlab.training.build import Experiment
from transferlab.training.checkpoints import Checkpoints
from transferlab.training.progress import progress_callbacks
from transferlab.training.record import HistoryFile


def callbacks_of(config: DictConfig, run: Run, experiment: Experiment) -> list[Callback]:
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
