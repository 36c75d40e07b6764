"""Validated unfreezing on histories made by hand."""

from __future__ import annotations

import json

from transferlab.strategy.unfreezing.validated import Validated, depth_curve


def play(unfreezing: Validated, losses: list[float | None], num_stages: int) -> tuple[list[dict], list[str]]:
    """The history and the phase after each epoch, when these are the validation losses."""
    history: list[dict] = []
    phases = []
    for epoch, loss in enumerate(losses):
        stages = unfreezing.trainable_stages(epoch, history, num_stages)
        history.append({"trainable_stages": float(stages)} | ({} if loss is None else {"val/loss": loss}))
        phases.append(unfreezing.phase(history, num_stages))
    return history, phases


def depths(history: list[dict]) -> list[int]:
    return [int(entry["trainable_stages"]) for entry in history]


def test_a_stage_opens_when_validation_stalls():
    # depth 0: better, better, worse, worse -> depth 1 from epoch 4: any loss counts as better at first
    losses = [1.0, 0.9, 0.95, 0.92, 2.0, 0.8, 0.85, 0.8, 0.7, 0.75, 0.7]
    history, phases = play(Validated(patience=2), losses, num_stages=2)
    assert depths(history) == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2]
    assert phases == ["opening"] * 7 + ["settled"] * 3 + ["finished"]
    assert depth_curve(history) == {0: 0.9, 1: 0.8, 2: 0.7}


def test_equal_is_not_better():
    history, _ = play(Validated(patience=1), [1.0, 1.0, 1.0, 1.0], num_stages=5)
    assert depths(history) == [0, 0, 1, 1]


def test_min_delta():
    losses = [1.0, 0.95, 0.91, 0.5, 0.49]
    assert depths(play(Validated(patience=1, min_delta=0.1), losses, num_stages=5)[0]) == [0, 0, 1, 1, 1]
    assert depths(play(Validated(patience=1), losses, num_stages=5)[0]) == [0, 0, 0, 0, 0]


def test_begins_at_first():
    history, phases = play(Validated(patience=1, first=2), [1.0, 1.0, 1.0, 1.0], num_stages=3)
    assert depths(history) == [2, 2, 3, 3]
    assert phases == ["opening", "settled", "settled", "finished"]
    history, phases = play(Validated(patience=1, first=7), [1.0, 1.0], num_stages=3)
    assert depths(history) == [3, 3]
    assert phases == ["settled", "finished"]


def test_stays_at_the_deepest_once_finished():
    history, phases = play(Validated(patience=1), [1.0] * 8, num_stages=1)
    assert depths(history) == [0, 0, 1, 1, 1, 1, 1, 1]
    assert phases == ["opening", "settled", "settled", *["finished"] * 5]


def test_epochs_without_validation_do_not_count():
    losses = [1.0, None, None, 1.0, None, 1.0]
    assert depths(play(Validated(patience=2), losses, num_stages=5)[0]) == [0, 0, 0, 0, 0, 0]
    history, _ = play(Validated(patience=1), [1.0, None, 1.0, None], num_stages=5)
    assert depths(history) == [0, 0, 0, 1]
    assert depth_curve(history) == {
        0: 1.0
    }  # depth 1 was not validated: nothing to say, and no infinity in JSON
    json.dumps(depth_curve(history), allow_nan=False)


def test_a_pure_function_of_the_epochs_before():
    """A resumed run, which knows the history alone, decides the same; a longer history changes nothing."""
    losses = [1.0, 0.9, 0.95, 0.92, 2.0, 0.8, 0.85, 0.8]
    history, _ = play(Validated(patience=2), losses, num_stages=3)
    again = Validated(patience=2)
    for epoch in range(len(losses)):
        assert again.trainable_stages(epoch, history, 3) == again.trainable_stages(epoch, history[:epoch], 3)
        assert again.trainable_stages(epoch, history, 3) == depths(history)[epoch]
