"""A few steps of an experiment's training, to measure something; nothing is kept of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback

from transferlab.run.errors import UserError
from transferlab.run.signals import interrupt_restored
from transferlab.training.build import Experiment
from transferlab.training.fit import fit


def fit_shortly(experiment: Experiment, *callbacks: Callback, steps: int) -> None:
    """Train for one epoch of `steps` batches, without validation, as `transferlab train` begins.

    The stages that train are those of the strategy's first epoch. The experiment's weights change.

    Args:
        experiment: what a config builds; its trainer's flags count, for one device.
        callbacks: what measures.
        steps: batches, drawn without end, however few images there are.

    Raises:
        UserError: a head that is not fitted by gradients.
    """
    if experiment.strategy.solver != "gradient":
        raise UserError(
            f"strategy/head: {type(experiment.strategy.head).__name__} is not fitted by steps of gradient "
            "descent. There is nothing to tune; strategy/head=linear is."
        )
    flags: dict[str, Any] = {"max_epochs": 1, "max_steps": -1, "limit_train_batches": 1.0}
    flags |= {"further": {**(experiment.config.trainer.further or {}), "limit_val_batches": 0}}
    config = OmegaConf.merge(experiment.config, {"trainer": flags})
    assert isinstance(config, DictConfig)
    short = replace(
        experiment,
        config=config,
        batches=experiment.batches.with_settings(steps_per_epoch=steps),
        strategy=replace(experiment.strategy, selection="last"),
        fit=replace(experiment.fit, ema_decay=None, swa_start=None),
        features=replace(experiment.features, cache="off"),
    )
    with interrupt_restored():
        fit(short, callbacks=callbacks)
