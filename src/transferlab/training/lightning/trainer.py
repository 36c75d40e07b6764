"""Lightning's Trainer, from the config."""

from __future__ import annotations

from collections.abc import Sequence

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback, EMAWeightAveraging

from transferlab.config.instantiation import make
from transferlab.strategy.strategy import Selection
from transferlab.training.fit_settings import FitSettings
from transferlab.training.lightning.checkpoints import Checkpoints, SelectedInMemory
from transferlab.training.lightning.progress import HistoryFile, progress_callbacks, shows_bars
from transferlab.training.recorder import Recorder


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
        reload_dataloaders_every_n_epochs=1 if reload else flags.reload_dataloaders_every_n_epochs,
        logger=recorder.loggers,
        callbacks=list(callbacks),
        enable_checkpointing=recorder.run is not None,
        enable_progress_bar=shows_bars(flags) and not recorder.quiet,
        use_distributed_sampler=False,
        default_root_dir=None if recorder.run is None else str(recorder.run.path),
    )


def fit_callbacks(
    flags: DictConfig, fit: FitSettings, selection: Selection, recorder: Recorder
) -> list[Callback]:
    """Progress, the record, the moving average where asked for, and last what keeps the selected weights."""
    averaging: list[Callback] = []
    if fit.ema_decay is not None:
        averaging = [EMAWeightAveraging(decay=fit.ema_decay)]
    if recorder.run is None:
        return [*averaging, *([] if selection == "last" else [SelectedInMemory(selection)])]
    return [
        *([] if recorder.quiet else progress_callbacks(flags)),
        HistoryFile(recorder),
        *averaging,
        Checkpoints(recorder.run.path / "checkpoints", fit, selection=selection),
    ]
