"""Stochastic weight averaging: the mean of the weights at epochs' ends, from a share of the training on.

Izmailov et al., Averaging weights leads to wider optima and better generalization, UAI 2018.
"""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging

from transferlab.model.batch_statistics import norms_with_statistics, statistics_anew
from transferlab.run.randomness import derived_seed
from transferlab.training.lightning.loaders import Loaders
from transferlab.training.lightning.module import TransferModule


class EpochAveraging(WeightAveraging):
    """Averages the weights at the end of each epoch from `start`, a share of the training, on.

    What is validated, selected, saved and tested is the mean of the epochs so far; before `start` it is the
    network itself. Batch norms that train get the statistics of the mean by a pass over the epoch's training
    batches. All of it happens before the epoch's validation and follows from its weights, so a resumed run
    does the same.
    """

    def __init__(self, start: float) -> None:
        super().__init__()
        self.start = start

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take the weights after an epoch's last step, or the training's."""
        is_over = 0 <= trainer.max_steps <= trainer.global_step
        if not is_over and batch_idx + 1 < trainer.num_training_batches:
            return
        average = self._average_model
        assert average is not None
        average.update_parameters(pl_module)
        if trainer.global_step / float(trainer.estimated_stepping_batches) < self.start:
            average.n_averaged.zero_()  # a copy, which the next one replaces
        elif average.n_averaged > 1:
            assert isinstance(pl_module, TransferModule)
            self._swap_models(pl_module)
            _compute_statistics(trainer, pl_module)
            self._swap_models(pl_module)


@torch.no_grad()
def _compute_statistics(trainer: pl.Trainer, module: TransferModule) -> None:
    """Give the norms in training mode the statistics of the network as it is now."""
    network, domains, loaders = module.network, module.objective.domains, trainer.datamodule  # type: ignore[attr-defined]
    assert isinstance(loaders, Loaders)
    norms = [norm for norm in norms_with_statistics(network) if norm.training]
    if not norms:
        return
    torch.manual_seed(derived_seed("statistics", module.seed, module.current_epoch, module.global_rank))
    with statistics_anew(norms), trainer.precision_plugin.train_step_context():
        with domains.on_source(network):  # where the source has statistics of its own
            for norm in norms:
                norm.reset_running_stats()
        for batch in loaders.epoch_again(module.current_epoch):
            domains.pass_through(network, batch)
