"""Settings of a fit, beyond the flags of Lightning's Trainer. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from transferlab.config.bounds import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Share

Kept = Literal["none", "last", "best", "last_and_best", "every_epoch"]


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """The `fit` section of a config; conf/train.yaml describes the arguments."""

    early_stopping_patience: NonNegativeInt | None = None
    min_delta: NonNegativeFloat = 0.0
    checkpoint_every_minutes: PositiveFloat | None = 10.0
    checkpoint_every_steps: PositiveInt | None = None
    ema_decay: Share | None = None
    compile: bool = False
    channels_last: bool = False
    keep_checkpoints: Kept = "last_and_best"


def on_one_device(trainer: Mapping[str, Any]) -> bool:
    """Whether a trainer's config asks for exactly one device, whichever it is."""
    return str(trainer.get("devices")) == "1" and trainer.get("num_nodes", 1) == 1
