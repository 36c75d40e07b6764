"""Unfreezings that ask neither the epoch nor the history: all, last, none."""

from __future__ import annotations

import pytest

from transferlab.strategy.unfreezing.all import All
from transferlab.strategy.unfreezing.last import Last
from transferlab.strategy.unfreezing.none import NoStage


@pytest.mark.parametrize(
    ("unfreezing", "expected"),
    [
        (All(), 5),
        (NoStage(), 0),
        (Last(), 1),
        (Last(num_stages=3), 3),
        (Last(num_stages=9), 5),
        (Last(num_stages=0), 0),
    ],
)
def test_the_same_always(unfreezing, expected):
    history = []
    for epoch in range(4):
        assert unfreezing.trainable_stages(epoch, history, 5) == expected
        assert unfreezing.phase(history, 5) == "settled"
        history.append({"val/loss": float(epoch), "trainable_stages": float(expected)})
