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
    earlier = sum(entry["seconds"] for entry in module.history)
    if is_over(module.history, module.strategy.unfreezing, module.num_stages, experiment.fit):
        module.load_state_dict(content["state_dict"])
        trainer.strategy.connect(module)
    else:
        trainer.fit(module, datamodule=experiment.data, ckpt_path=checkpoint, weights_only=True)
    return earlier


def load_selected_weights(experiment: Experiment, run: Run) -> None:
    """Put the weights of the selected epoch into the module; the last ones are there already."""
    module = experiment.module
    if module.strategy.selection == "val_loss" and run.best_checkpoint.is_file():
        module.load_state_dict(load_checkpoint(run.best_checkpoint)["state_dict"])
