"""Gradual unfreezing as a table over epochs."""

from __future__ import annotations

import pytest

from transferlab.strategy.unfreezing.gradual import Gradual


@pytest.mark.parametrize(
    ("every_epochs", "first", "expected"),
    [
        (1, 0, [0, 1, 2, 3, 4, 4, 4, 4, 4, 4]),
        (2, 0, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]),
        (3, 1, [1, 1, 1, 2, 2, 2, 3, 3, 3, 4]),
        (1, 4, [4, 4, 4, 4, 4, 4, 4, 4, 4, 4]),
        (5, 9, [4, 4, 4, 4, 4, 4, 4, 4, 4, 4]),
    ],
)
def test_stages_by_epoch(every_epochs, first, expected):
    unfreezing = Gradual(every_epochs=every_epochs, first=first)
    assert [unfreezing.trainable_stages(epoch, [], 4) for epoch in range(10)] == expected


def test_early_stopping_waits_for_the_last_stage():
    unfreezing = Gradual(every_epochs=2)
    phases = [unfreezing.phase([{"val/loss": 1.0}] * epochs, 2) for epochs in range(7)]
    # after epoch 4 (five epochs), in which both stages trained for the first time, none is left to open
    assert phases == ["opening"] * 5 + ["settled"] * 2
