"""Recorded configs of earlier versions."""

from __future__ import annotations

from pathlib import Path

from omegaconf import OmegaConf

from transferlab.config.classes import sees_plain_images
from transferlab.config.compose import compose_checked
from transferlab.config.instantiation import make
from transferlab.run.older_configs import upgrade
from transferlab.training.recorded_config import checked_record


def test_lightnings_flags_move():
    trainer = {
        "_target_": "pytorch_lightning.Trainer",
        "max_epochs": 3,
        "fast_dev_run": False,
        "benchmark": True,
    }
    plain = {"trainer": dict(trainer), "seed": 0}
    config = OmegaConf.create({"trainer": dict(trainer), "seed": 0})
    upgrade(plain)
    upgrade(config)
    assert plain == OmegaConf.to_container(config)
    assert plain["trainer"] == {
        "_target_": "transferlab.training.lightning.trainer_flags.lightning_trainer",
        "max_epochs": 3,
        "further": {"benchmark": True},
    }
    again = {"trainer": dict(plain["trainer"])}
    upgrade(again)
    assert again["trainer"] == plain["trainer"]
    for other in ({}, {"trainer": None}, None):
        upgrade(other)


def test_what_a_record_does_not_say_means_what_it_did():
    """The old default, not that of today."""
    chosen = ["strategy=lp_ft", "strategy/unfreezing=none", "data/augmentation=light"]
    config = compose_checked(chosen).config
    for path in (
        *("strategy.head_start", "strategy.bn", "strategy.learning_rates.layer_decay"),
        *("strategy.learning_rates.warmup_epochs", "features.views", "fit.channels_last"),
    ):
        parent, _, key = path.rpartition(".")
        del OmegaConf.select(config, parent)[key]
    recorded = checked_record(config, Path("config.yaml"))
    strategy = make(recorded.strategy)
    assert (strategy.head_start, strategy.bn) == ("fresh", "mixed")
    assert (strategy.learning_rates.layer_decay, strategy.learning_rates.warmup_epochs) == (1.0, 0.0)
    assert make(recorded.features).views is None
    assert make(recorded.fit).channels_last is False
    assert not sees_plain_images(OmegaConf.to_container(recorded))
