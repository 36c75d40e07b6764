"""Recorded configs of earlier versions."""

from __future__ import annotations

from omegaconf import OmegaConf

from transferlab.run.older_configs import upgrade


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
