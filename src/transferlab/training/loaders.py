"""The data of an experiment as Lightning wants it: loaders that know where the trainer stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
from torch.utils.data import DataLoader

from transferlab.data.loading.sampler import Position, Share
from transferlab.data.module import DataModule
from transferlab.training.module import TransferModule
from transferlab.training.prefix import FrozenPrefix


class Loaders(pl.LightningDataModule):
    """Batches of a `DataModule`, shared among the trainer's processes, from the trainer's position on.

    Args:
        data: loaded and bound.
        prefix: arranged for each epoch before its batches are asked for (with the trainer's
            `reload_dataloaders_every_n_epochs=1`), and for tests; None: images throughout.
        watched: parts of the target that each validation goes through as well, without their labels.
    """

    def __init__(
        self, data: DataModule, prefix: FrozenPrefix | None = None, *, watched: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.data = data
        self.prefix = prefix
        self.watched = watched
        self.test_part = "test"  # what `Trainer.test` goes through
        self._train: DataLoader[Any] | None = None
        self._val: list[DataLoader[Any]] | None = None

    def train_dataloader(self) -> DataLoader[Any]:
        if self._arranged_anew() or self._train is None:
            self._train = self.data.train_dataloader(self._share)
            self._val = None
        return self._train

    def val_dataloader(self) -> list[DataLoader[Any]]:
        if self._val is None:
            self._val = [self.data.evaluation_dataloader("val", self._share)] + [
                self.data.evaluation_dataloader(part, self._share, with_labels=False) for part in self.watched
            ]
        return self._val

    def test_dataloader(self) -> DataLoader[Any]:
        self._arranged_anew()  # where nothing opens; not yet done if the fit was over before this process
        return self.data.evaluation_dataloader(self.test_part, self._share)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return self.data.prepared(batch)

    def _arranged_anew(self) -> bool:
        """Arrange the prefix for the epoch to come; whether batches hold something else from now on."""
        if self.prefix is None:
            return False
        assert self.trainer is not None
        module = self.trainer.lightning_module
        assert isinstance(module, TransferModule)
        # not the trainer's epoch, which lags behind when a run is resumed at an epoch's end
        epoch = len(module.history)
        return self.prefix.arrange(epoch, module.history, device=module.device, share=self._share)

    @property
    def _share(self) -> Share:
        assert self.trainer is not None, "Lightning attaches its trainer first"
        return Share(self._position, self.trainer.global_rank, self.trainer.world_size)

    def _position(self, num_batches: int) -> Position:
        assert self.trainer is not None
        return position_of(self.trainer, num_batches)


def position_of(trainer: pl.Trainer, num_batches: int) -> Position:
    """Where a trainer stands, by its own count of batches, which its checkpoints hold.

    The length of an epoch is derived here: while the first workers start, `num_training_batches` is unset.
    """
    limit = trainer.limit_train_batches
    num_batches = min(num_batches, limit) if isinstance(limit, int) else int(num_batches * limit)
    epoch, batch = divmod(trainer.fit_loop.epoch_loop.batch_progress.total.ready, num_batches)
    return Position(epoch, batch, num_batches)
