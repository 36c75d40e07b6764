"""Checkpoints from which a killed run goes on bit-identically.

`last.ckpt` is written at each epoch's end and, by time or steps, within it; `best.ckpt` is that of the
selected epoch; with `fit.keep_checkpoints=every_epoch` each epoch's stays as well. Never on an epoch's last
batch (Lightning would skip the validation after a resume) and never inside an accumulation of gradients (they
are not in a checkpoint).
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint, WeightAveraging

from transferlab.run import signals
from transferlab.run.run_folder import Run
from transferlab.strategy.strategy import Selection
from transferlab.training.fit_settings import FitSettings, selected_epoch
from transferlab.training.lightning.module import TransferModule


class Checkpoints(Checkpoint):
    """Writes `last.ckpt` and `best.ckpt` into a folder; a reader sees the old one or the new one."""

    def __init__(self, folder: Path, settings: FitSettings, *, selection: Selection) -> None:
        super().__init__()
        self.folder, self.settings, self.selection = folder, settings, selection
        self._saved_at = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """(Re)install our signal handlers: Lightning's would end the run without a checkpoint."""
        signals.install()
        signals.wait(True)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """From here on no checkpoint follows: a signal ends the run at once."""
        signals.wait(False)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """The same where the training fails."""
        signals.wait(False)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save within an epoch, when it is time or this is to end, and the state is complete."""
        done = batch_idx + 1
        is_last = done >= trainer.num_training_batches
        ends = trainer.should_stop and trainer.fit_loop._can_stop_early  # the epoch, which is saved then
        if is_last or ends or done % trainer.accumulate_grad_batches != 0:
            return
        is_due, leaves = trainer.strategy.broadcast((self._is_due(done), signals.received() is not None))
        if not (is_due or leaves):
            return
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        if loss is None or torch.isfinite(loss):  # the module raises soon; the last good one stays
            self._save(trainer, is_best=False)
        if leaves:
            signals.stop()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save after the validation, when the module has added the epoch to its history."""
        assert isinstance(pl_module, TransferModule)
        newest = len(pl_module.history) - 1
        selected = self.selection != "last" and selected_epoch(pl_module.history, self.selection) == newest
        self._save(trainer, is_best=selected, epoch=newest)
        if trainer.strategy.broadcast(signals.received() is not None):
            signals.stop()

    def _is_due(self, done: int) -> bool:
        every, minutes = self.settings.checkpoint_every_steps, self.settings.checkpoint_every_minutes
        if every is not None and done % every == 0:
            return True
        return minutes is not None and time.monotonic() - self._saved_at >= 60 * minutes

    def _save(self, trainer: pl.Trainer, *, is_best: bool, epoch: int | None = None) -> None:
        """Save; `epoch` is the one that ends here."""
        new = self.folder / "new.ckpt"
        if trainer.is_global_zero:
            Run(self.folder.parent).require_unharmed()  # the folder would be made anew
        try:
            trainer.save_checkpoint(new)
            if trainer.is_global_zero:
                if is_best:
                    _link_or_copy(new, self.folder / "best.ckpt")
                if epoch is not None and self.settings.keep_checkpoints == "every_epoch":
                    _link_or_copy(new, self.folder / f"epoch_{epoch:04d}.ckpt")
                new.replace(self.folder / "last.ckpt")
        except BaseException:
            if trainer.is_global_zero:
                new.unlink(missing_ok=True)  # a part of it, on a full disk
            raise
        trainer.strategy.barrier()
        self._saved_at = time.monotonic()


class SelectedInMemory(Checkpoint):
    """Stores the weights of the selected epoch in memory: for a fit without a folder.

    A `Checkpoint`, because Lightning calls these alone after the module, which adds the epoch to its history.

    Attributes:
        weights: the module's state dict, on the CPU; None while no epoch is selected.
    """

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self.weights: dict[str, torch.Tensor] | None = None

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Copy the weights after the validation."""
        assert isinstance(pl_module, TransferModule)
        if selected_epoch(pl_module.history, self.selection) != len(pl_module.history) - 1:
            return
        checkpoint: dict[str, Any] = {"state_dict": pl_module.state_dict()}
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, WeightAveraging):  # its average takes the place of the weights
                callback.on_save_checkpoint(trainer, pl_module, checkpoint)
        self.weights = {name: value.cpu().clone() for name, value in checkpoint["state_dict"].items()}


def _link_or_copy(file: Path, name: Path) -> None:
    beside = name.with_suffix(".tmp")
    beside.unlink(missing_ok=True)
    try:
        try:
            os.link(file, beside)
        except OSError:
            shutil.copyfile(file, beside)
        beside.replace(name)
    finally:
        beside.unlink(missing_ok=True)
