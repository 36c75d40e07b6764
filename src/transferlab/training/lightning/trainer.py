"""Lightning's Trainer, from the config, and its callbacks: progress, history.csv, selected weights."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback, Checkpoint, EMAWeightAveraging, RichProgressBar

from transferlab.config.instantiation import make
from transferlab.strategy.strategy import Selection
from transferlab.training.fit_settings import FitSettings
from transferlab.training.lightning.checkpoints import Checkpoints, SelectedInMemory
from transferlab.training.lightning.epoch_averaging import EpochAveraging
from transferlab.training.lightning.module import TransferModule
from transferlab.training.recorder import Recorder
from transferlab.training.terminal import epoch_line, say


def make_trainer(
    flags: DictConfig, recorder: Recorder, callbacks: Sequence[Callback], *, reload: bool
) -> pl.Trainer:
    """The Trainer of a fit.

    Args:
        flags: the config's `trainer` section.
        recorder: of the fit: its loggers, and the folder of its run.
        callbacks: see `fit_callbacks`.
        reload: make loaders anew in each epoch.

    Raises:
        UserError: a device, precision or flag that Lightning does not have here.
    """
    return make(
        flags,
        reload_dataloaders_every_n_epochs=int(reload),
        logger=recorder.loggers,
        callbacks=list(callbacks),
        enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
        enable_progress_bar=shows_bars(flags) and not recorder.quiet,
        default_root_dir=None if recorder.run is None else str(recorder.run.path),
    )


def fit_callbacks(
    flags: DictConfig, fit: FitSettings, selection: Selection, recorder: Recorder
) -> list[Callback]:
    """Progress, the record, the average of weights where set, and last what stores the selected weights."""
    averaging: list[Callback] = []
    if fit.ema_decay is not None:
        averaging.append(EMAWeightAveraging(decay=fit.ema_decay))
    if fit.swa_start is not None:
        averaging.append(EpochAveraging(fit.swa_start))
    if recorder.run is None:
        return [*averaging, *([] if selection == "last" else [SelectedInMemory(selection)])]
    return [
        *([] if recorder.quiet else progress_callbacks(flags)),
        HistoryFile(recorder),
        *averaging,
        Checkpoints(recorder.run.path / "checkpoints", fit, selection=selection),
    ]


def shows_bars(flags: DictConfig) -> bool:
    """True if there is a terminal to draw bars on, and they are wanted."""
    return bool(flags.enable_progress_bar) and sys.stdout.isatty()


def progress_callbacks(flags: DictConfig) -> list[Callback]:
    """The callbacks that show the progress on this output."""
    lines: list[Callback] = [EpochLines()] if flags.enable_progress_bar else []
    return [_Bar(leave=False), *lines] if shows_bars(flags) else lines


class _Bar(RichProgressBar):
    """Lightning's bar for the training and its validation; the short passes afterwards need none."""

    @property
    def test_description(self) -> str:
        return "Evaluating"


class EpochLines(Callback):
    """One line per epoch: losses, accuracy, trainable stages, seconds."""

    _printed: int | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Skip the epochs that were printed before a run was resumed."""
        assert isinstance(pl_module, TransferModule)
        self._printed = len(pl_module.history)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the epoch before this one, whose record is complete now."""
        assert isinstance(pl_module, TransferModule)
        if self._printed is None:
            return
        for entry in pl_module.history[self._printed :]:
            say(epoch_line(entry, trainer.max_epochs, pl_module.num_stages))
        self._printed = len(pl_module.history)

    on_train_end = on_train_epoch_start


class HistoryFile(Callback):
    """Keeps history.csv equal to the module's history: rewritten at once after each epoch."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The epoch before this one is complete now; the last one is written after the fit."""
        assert isinstance(pl_module, TransferModule)
        self.recorder.write_history(pl_module.history)
