"""When a training ends early, on histories written by hand."""

from __future__ import annotations

import pytest

from transferlab.strategy.unfreezing.all import All
from transferlab.strategy.unfreezing.gradual import Gradual
from transferlab.strategy.unfreezing.validated import Validated
from transferlab.training.fit_settings import (
    FitSettings,
    best_epoch,
    epochs_without_better,
    is_over,
    usual_epochs,
)


def history(*losses: float) -> list[dict[str, float]]:
    return [{"val/loss": loss, "trainable_stages": 0.0} for loss in losses]


def test_best_epoch_is_the_first_of_equals():
    assert best_epoch(history(0.5, 0.3, 0.3, 0.4)) == 1
    assert best_epoch([]) is None
    assert best_epoch([{"trainable_stages": 0.0}]) is None


@pytest.mark.parametrize(
    ("losses", "min_delta", "waited"),
    [((1.0, 0.9, 0.8), 0.0, 0), ((1.0, 1.1, 1.0), 0.0, 2), ((1.0, 0.95, 0.9), 0.2, 2), ((), 0.0, 0)],
)
def test_epochs_without_better(losses, min_delta, waited):
    assert epochs_without_better(history(*losses), min_delta) == waited


def test_stops_after_patience():
    settings = FitSettings(early_stopping_patience=2)
    assert not is_over(history(1.0, 1.1), All(), 3, settings)
    assert is_over(history(1.0, 1.1, 1.2), All(), 3, settings)
    assert not is_over(history(1.0, 1.1, 1.2), All(), 3, FitSettings())


def test_waits_for_the_last_stage():
    """With two stages that open in epochs 1 and 2, a plateau counts from epoch 2 on."""
    settings, unfreezing = FitSettings(early_stopping_patience=2), Gradual(every_epochs=1)
    assert not is_over(history(1.0, 1.1, 1.2), unfreezing, 2, settings)
    assert not is_over(history(1.0, 1.1, 1.2, 1.3), unfreezing, 2, settings)
    assert is_over(history(1.0, 1.1, 1.2, 1.3, 1.4), unfreezing, 2, settings)


def test_validated_unfreezing_ends_when_the_deepest_stage_has_stalled():
    unfreezing = Validated(patience=1)
    assert not is_over(history(1.0, 1.1), unfreezing, 1, FitSettings())
    assert is_over(history(1.0, 1.1, 0.9, 0.95), unfreezing, 1, FitSettings())


@pytest.mark.parametrize(
    ("steps", "epochs"), [(1, 100), (6, 100), (7, 86), (20, 30), (59, 11), (60, 10), (5000, 10)]
)
def test_epochs_for_enough_steps(steps, epochs):
    assert usual_epochs(steps) == epochs
    assert epochs in (10, 100) or (epochs - 1) * steps < 600 <= epochs * steps
