"""Every preset with every part of every group: composes, instantiates, keeps its numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir

from tests.strategy.tiny import tiny_classifier
from transferlab.config.instantiation import make
from transferlab.strategy.parts import Facts, Objective, Penalty
from transferlab.strategy.strategy import Strategy

CONF = Path(__file__).parents[2] / "conf"


def names(folder: str) -> list[str]:
    return sorted(file.stem for file in (CONF / folder).glob("*.yaml"))


def strategy(*overrides: str) -> Strategy:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return make(compose("train", overrides=list(overrides)).strategy)


@pytest.mark.parametrize("preset", names("strategy"))
def test_presets(preset):
    made = strategy(f"strategy={preset}")
    assert isinstance(made, Strategy)
    assert isinstance(made.objective, Objective)
    assert made.penalty == {}
    assert 0 <= made.unfreezing.trainable_stages(0, [], 5) <= 5
    assert made.start_from == ("random" if preset == "from_scratch" else "weights")


@pytest.mark.parametrize(
    ("group", "part"),
    [
        (group, part)
        for group in ("head", "unfreezing", "objective", "penalty", "learning_rates")
        for part in names(f"strategy/{group}")
    ],
)
def test_parts(group, part):
    """Each in a preset that is far from it: what the preset set for the part before must not linger."""
    preset = "dann" if group in ("unfreezing", "objective") else "progressive_unfreezing_validated"
    value = f"[{part}]" if group == "penalty" else part
    assert isinstance(strategy(f"strategy={preset}", f"strategy/{group}={value}"), Strategy)


def test_two_penalties_together():
    made = strategy("strategy/penalty=[l1,l2_sp]", "strategy.penalty.l1.strength=0.5")
    assert list(made.penalty) == ["l1", "l2_sp"]
    assert all(isinstance(penalty, Penalty) for penalty in made.penalty.values())
    network = tiny_classifier()
    for penalty in made.penalty.values():
        penalty.remember(network)
    figures = {name: penalty.penalty(network).item() for name, penalty in made.penalty.items()}
    assert figures["l1"] > 100 * figures["l2_sp"] > 0


def test_dann_with_gradual_unfreezing():
    made = strategy("strategy=dann", "strategy/unfreezing=gradual_slow", "strategy.unfreezing.first=1")
    assert made.objective.uses_target
    assert [made.unfreezing.trainable_stages(epoch, [], 5) for epoch in range(7)] == [1, 1, 1, 2, 2, 2, 3]
    assert made.learning_rates.backbone_factor == 1.0
    made.objective.prepare(Facts(16, torch.ones(3)))
    assert made.objective.critic[0].in_features == 16
