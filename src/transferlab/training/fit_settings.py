"""Settings of a fit beyond the flags of Lightning's Trainer; which epoch is selected, and when to stop.

Imports nothing heavy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from transferlab.config.bounds import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Share
from transferlab.config.schema import MOST_EPOCHS
from transferlab.strategy.parts import History, Unfreezing
from transferlab.strategy.strategy import Selection

# a small set needs many epochs before anything is learned, a large one learns in a few
USUAL_STEPS, _FEWEST_EPOCHS = 600, 10
Kept = Literal["none", "last", "best", "last_and_best", "every_epoch"]


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """The `fit` section of a config; conf/train.yaml describes the arguments."""

    early_stopping_patience: NonNegativeInt | None = None
    min_delta: NonNegativeFloat = 0.0
    checkpoint_every_minutes: PositiveFloat | None = 10.0
    checkpoint_every_steps: PositiveInt | None = None
    ema_decay: Share | None = None
    swa_start: Share | None = None
    compile: bool = False
    channels_last: bool | Literal["auto"] = False
    keep_checkpoints: Kept = "last_and_best"


def on_one_device(trainer: Mapping[str, Any]) -> bool:
    """True if a trainer's config asks for exactly one device, whichever it is."""
    return str(trainer.get("devices")) == "1" and trainer.get("num_nodes", 1) == 1


def usual_epochs(steps_per_epoch: int) -> int:
    """The epochs of `trainer.max_epochs=auto`: enough for 600 steps, but at least 10 and at most 100.

    >>> usual_epochs(19), usual_epochs(2), usual_epochs(5000)
    (32, 100, 10)
    """
    return min(max(math.ceil(USUAL_STEPS / steps_per_epoch), _FEWEST_EPOCHS), MOST_EPOCHS)


def seconds_of(max_time: str | None) -> float | None:
    """The seconds of `trainer.max_time`.

    >>> seconds_of("00:08:00:01")
    28801.0
    """
    if max_time is None:
        return None
    days, hours, minutes, seconds = map(int, max_time.split(":"))
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def best_epoch(history: History) -> int | None:
    """The position in the history with the lowest validation loss; the first of equals; None without any."""
    losses = [(entry["val/loss"], position) for position, entry in enumerate(history) if "val/loss" in entry]
    return min(losses)[1] if losses else None


def selected_epoch(history: History, selection: Selection) -> int | None:
    """The position in the history of the selected epoch; None where none has a finite score."""
    if selection == "last":
        return len(history) - 1 if history else None
    if selection == "val_loss":
        return best_epoch(history)
    from transferlab.evaluation.selection.criteria import CRITERIA

    scores = [entry.get(f"selection/{selection}", math.nan) for entry in history]
    return None if all(map(math.isnan, scores)) else CRITERIA[selection].best(scores)


def epochs_without_better(history: History, min_delta: float) -> int:
    """The number of last epochs that did not bring the validation loss down by more than `min_delta`."""
    best, waited = float("inf"), 0
    for entry in history:
        if "val/loss" not in entry:
            continue
        if entry["val/loss"] < best - min_delta:
            best, waited = entry["val/loss"], 0
        else:
            waited += 1
    return waited


def is_over(history: History, unfreezing: Unfreezing, num_stages: int, settings: FitSettings) -> bool:
    """True if the training stops after the epochs of this history.

    Early stopping counts only the epochs since the last stage opened: while stages are still opening, a
    plateau is no reason to stop.
    """
    if not history:
        return False
    phases = [unfreezing.phase(history[: count + 1], num_stages) for count in range(len(history))]
    if phases[-1] == "finished":
        return True
    if settings.early_stopping_patience is None or phases[-1] == "opening":
        return False
    settled_since = max((count + 1 for count, phase in enumerate(phases) if phase == "opening"), default=0)
    waited = epochs_without_better(history[settled_since:], settings.min_delta)
    return waited >= settings.early_stopping_patience
