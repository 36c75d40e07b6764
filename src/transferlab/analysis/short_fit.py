"""A few steps of an experiment's training, to measure something; nothing is kept of them."""

from __future__ import annotations

from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback

from transferlab.config.instantiation import make
from transferlab.run.errors import UserError
from transferlab.training.build import Experiment
from transferlab.training.loaders import Loaders
from transferlab.training.module import TransferModule
from transferlab.training.terminal import interrupts_restored, quiet_libraries


def fit_shortly(config: DictConfig, experiment: Experiment, *callbacks: Callback, batches: int) -> None:
    """Train for one epoch of `batches` batches, without validation, as `transferlab train` begins.

    The stages that train are those of the strategy's first epoch. The experiment's weights change.

    Args:
        config: of the experiment; its trainer's flags count, for one device.
        experiment: what the config builds.
        callbacks: what measures.
        batches: drawn without end, however few images there are.

    Raises:
        UserError: a head that is not fitted by gradients.
    """
    if experiment.strategy.solver != "gradient":
        raise UserError(
            f"strategy/head: {type(experiment.strategy.head).__name__} is not fitted by steps of gradient "
            "descent. There is nothing to tune; strategy/head=linear is."
        )
    experiment.data.steps_per_epoch = batches
    module = TransferModule(experiment.network, experiment.strategy, experiment.fit, seed=experiment.seed)
    quiet_libraries()
    trainer = make(
        config.trainer,
        max_epochs=1,
        max_steps=-1,
        limit_train_batches=1.0,
        limit_val_batches=0,
        logger=False,
        callbacks=list(callbacks),
        enable_checkpointing=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,
    )
    with interrupts_restored():
        trainer.fit(module, datamodule=Loaders(experiment.data))
