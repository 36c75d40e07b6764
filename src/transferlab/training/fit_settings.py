"""How a model is fitted, beyond the flags of Lightning's Trainer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from transferlab.config.bounds import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Share

Kept = Literal["none", "last", "best", "last_and_best", "every_epoch"]


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """The `fit` section of a config.

    Attributes:
        early_stopping_patience: epochs without a better validation loss before the training ends; it waits
            until the last stage is open. None: never.
        min_delta: by how much the validation loss must fall to count as better.
        checkpoint_every_minutes: minutes between checkpoints within an epoch; None: at epoch ends only.
        checkpoint_every_steps: batches between checkpoints within an epoch; None: by time alone.
        ema_decay: decay of an exponential moving average of the weights; None: no average.
        compile: compile the backbone with torch.compile.
        channels_last: keep the backbone's convolutions in torch's memory format `channels_last`.
        keep_checkpoints: which are left when the run has finished. `best` is that of the selected epoch;
            `every_epoch` keeps `epoch_0000.ckpt` and so on beside the last and the best.
    """

    early_stopping_patience: NonNegativeInt | None = None
    min_delta: NonNegativeFloat = 0.0
    checkpoint_every_minutes: PositiveFloat | None = 10.0
    checkpoint_every_steps: PositiveInt | None = None
    ema_decay: Share | None = None
    compile: bool = False
    channels_last: bool = False
    keep_checkpoints: Kept = "last_and_best"
