"""Lightning's data module of an experiment: loaders that start where the trainer stands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from transferlab.data.batches import Batches
from transferlab.data.loading.sampler import Position, Share
from transferlab.training.frozen.prefix import FrozenPrefix
from transferlab.training.lightning.module import TransferModule


class Loaders(pl.LightningDataModule):
    """Loaders of `Batches`, shared among the trainer's processes, from the trainer's position on.

    Args:
        batches: of images.
        prefix: gives the batches of each epoch before its loaders are made (with the trainer's
            `reload_dataloaders_every_n_epochs=1`), and of tests; None: images throughout.
        watched: splits of the target that each validation goes through as well, without their labels.
    """

    def __init__(
        self, batches: Batches, prefix: FrozenPrefix | None = None, *, watched: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self._images = batches
        self.prefix = prefix
        self.watched = watched
        self.tested = "test"  # the split that `Trainer.test` goes through
        self._loaded: Batches | None = None
        self._train: DataLoader[Any] | None = None
        self._val: list[DataLoader[Any]] | None = None

    @property
    def batches(self) -> Batches:
        """Those of the current epoch."""
        return self._images if self.prefix is None else self.prefix.batches

    def train_dataloader(self) -> DataLoader[Any]:
        self._arrange()
        if self._train is None or self._loaded is not self.batches:
            self._loaded = self.batches
            self._train = self.batches.train(self._share)
            self._val = None
        return self._train

    def val_dataloader(self) -> list[DataLoader[Any]]:
        if self._val is None:
            self._val = [self.batches.evaluation("val", self._share)] + [
                self.batches.evaluation(split, self._share, with_labels=False) for split in self.watched
            ]
        return self._val

    def test_dataloader(self) -> DataLoader[Any]:
        self._arrange()  # where nothing opens; not yet done if the fit was over before this process
        return self.batches.evaluation(self.tested, self._share)

    def epoch_again(self, epoch: int) -> Iterator[dict[str, torch.Tensor]]:
        """This process's training batches of an epoch that has ended, again, as the network takes them."""
        assert self.trainer is not None
        share = replace(self._share, position=lambda num: Position(epoch, 0, self._limited(num)))
        for batch in self.batches.train(share):
            yield self.trainer.strategy.batch_to_device(batch)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        assert self.trainer is not None
        # normalised after Lightning has converted the batch to the precision of, say, bf16-true
        return self.trainer.precision_plugin.convert_input(self.batches.prepared(batch))

    def _arrange(self) -> None:
        """Arrange the prefix for the epoch to come."""
        if self.prefix is None:
            return
        assert self.trainer is not None
        module = self.trainer.lightning_module
        assert isinstance(module, TransferModule)
        # not the trainer's epoch, which lags behind when a run is resumed at an epoch's end
        epoch = len(module.history)
        self.prefix.arrange(epoch, module.history, device=module.device, share=self._share)

    @property
    def _share(self) -> Share:
        assert self.trainer is not None, "Lightning attaches its trainer first"
        return Share(self._position, self.trainer.global_rank, self.trainer.world_size)

    def _position(self, num_batches: int) -> Position:
        """Where the trainer stands, by its own count of batches, which its checkpoints hold.

        The length of an epoch is derived here: while workers start, `num_training_batches` is unset.
        """
        assert self.trainer is not None
        num_batches = self._limited(num_batches)
        epoch, batch = divmod(self.trainer.fit_loop.epoch_loop.batch_progress.total.ready, num_batches)
        return Position(epoch, batch, num_batches)

    def _limited(self, num_batches: int) -> int:
        assert self.trainer is not None
        limit = self.trainer.limit_train_batches
        return min(num_batches, limit) if isinstance(limit, int) else int(num_batches * limit)
