"""The schedule of lambda."""

from __future__ import annotations

import math

import pytest
from hydra import compose, initialize_config_dir

from transferlab.config import config_files
from transferlab.strategy.objective.adaptation_weight import AdaptationWeight, share_of_weight


@pytest.mark.parametrize(
    ("progress", "arguments", "expected"),
    [
        (0.0, {}, 0.0),
        (0.1, {}, math.tanh(0.5)),  # 2 / (1 + exp(-x)) - 1 = tanh(x / 2)
        (0.5, {}, math.tanh(2.5)),
        (1.0, {}, math.tanh(5.0)),
        (0.5, {"weight": 0.2}, 0.2 * math.tanh(2.5)),
        (0.5, {"steepness": 4.0}, math.tanh(1.0)),
        (0.25, {"horizon": 0.5}, math.tanh(2.5)),
        (0.75, {"horizon": 0.5}, math.tanh(5.0)),
        (0.0, {"horizon": 0.0}, 1.0),
        (0.3, {"horizon": 0.0, "weight": 2.0}, 2.0),
    ],
)
def test_lambda(progress, arguments, expected):
    weight = AdaptationWeight(**{"weight": 1.0, "steepness": 10.0, "horizon": 1.0, **arguments})
    assert weight.at(progress) == pytest.approx(expected, abs=1e-12)


def test_tllibs_schedule():
    """2 / (1 + exp(-alpha i / max_iters)) - 1 with alpha 1, max_iters 1000, in 20 epochs of 1,000 steps."""
    with initialize_config_dir(str(config_files.shipped()), version_base="1.3"):
        config = compose("train", ["strategy=dann", "strategy/objective=dann_tllib"]).strategy.objective
    for step in (0, 1, 500, 1000, 7000, 19999):
        found = share_of_weight(step / 20_000, steepness=config.steepness, horizon=config.horizon)
        assert found == pytest.approx(2 / (1 + math.exp(-step / 1000)) - 1, abs=1e-12)
