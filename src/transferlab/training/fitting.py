"""Fit a module, from the start or from a checkpoint, and put the selected weights into it."""

from __future__ import annotations

from pathlib import Path

import pytorch_lightning as pl

from transferlab.run.folder import Run
from transferlab.training.build import Experiment
from transferlab.training.checkpoints import load_checkpoint
from transferlab.training.stopping import is_over


def fit(trainer: pl.Trainer, experiment: Experiment, checkpoint: Path | None) -> float:
    """Fit, from a checkpoint where there is one; return the seconds that went into it before."""
    module = experiment.module
    if checkpoint is None:
        trainer.fit(module, datamodule=experiment.data)
        return 0.0
    content = load_checkpoint(checkpoint)
    module.on_load_checkpoint(content)
    earlier = sum(entry["seconds"] for entry in module.history) + content["transferlab"]["seconds"]
    if _nothing_left(trainer, experiment):
        module.load_state_dict(content["state_dict"])  # the average, where one is kept
    else:
        trainer.fit(module, datamodule=experiment.data, ckpt_path=checkpoint, weights_only=True)
    return earlier


def load_selected_weights(experiment: Experiment, run: Run) -> None:
    """Put the weights of the selected epoch into the module; the last ones are there already."""
    module = experiment.module
    if module.strategy.selection == "val_loss" and run.best_checkpoint.is_file():
        module.load_state_dict(load_checkpoint(run.best_checkpoint)["state_dict"])


def _nothing_left(trainer: pl.Trainer, experiment: Experiment) -> bool:
    """Whether the training had ended and only the rest, the test, was cut short."""
    module = experiment.module
    epochs = len(module.history)
    if module.in_epoch:
        return False
    if trainer.max_epochs is not None and 0 <= trainer.max_epochs <= epochs:
        return True
    stopped = is_over(module.history, module.strategy.unfreezing, module.num_stages, experiment.fit)
    return stopped and epochs >= (trainer.min_epochs or 0)
