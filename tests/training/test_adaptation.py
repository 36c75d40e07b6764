"""Adaptation through a whole training: a teacher and statistics that follow, and survive a kill."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file
from torch.nn import functional

from tests.training.processes import in_child
from tests.training.test_resume import (
    STEPS_AN_EPOCH,
    assert_same,
    overrides,
    resume,
    train_killed,
)
from transferlab.run.run_folder import Run
from transferlab.strategy.objective.self_training import SelfTraining
from transferlab.training import runs
from transferlab.training.build import build
from transferlab.training.lightning.checkpoint_content import load_checkpoint
from transferlab.training.lightning.module import TransferModule

TEACHING = ["strategy.objective.threshold=0.0", "strategy.objective.horizon=0.0"]  # from the first step on


@pytest.mark.parametrize(
    "setting",
    [
        "strategy.bn=domain_specific",
        *(
            pytest.param(setting, marks=pytest.mark.slow)
            for setting in (
                "trainer.accumulate_grad_batches=2",
                "strategy.bn=separate",
                "strategy/unfreezing=gradual",
                "strategy/unfreezing=none",
                "fit.ema_decay=0.9",
            )
        ),
    ],
)
def test_killed(setting, trained):
    """The whole checkpoint is the same, what the objective keeps included."""
    arguments = overrides("self_training", "test_resnet", *TEACHING, setting)
    alone = trained(*arguments)
    train_killed("killed", arguments, TransferModule, "training_step", STEPS_AN_EPOCH + 4)
    resume("killed")
    assert_same("killed", alone)
    states = [
        load_checkpoint(Path(run, "checkpoints", "last.ckpt"))["state_dict"] for run in ("killed", alone)
    ]
    assert any(name.startswith("objective.teacher.") for name in states[0])
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("accumulated", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_the_teacher_follows_once_for_each_step_of_the_optimizer(accumulated):
    """5 batches an epoch: with 2 accumulated, 3 steps an epoch, the last of them of one batch."""

    def action() -> None:
        steps = []
        follow = SelfTraining.after_step

        def counting(self, network, step):
            steps.append(step)
            follow(self, network, step)

        SelfTraining.after_step = counting  # type: ignore[method-assign]
        arguments = overrides(
            "self_training", "test_resnet", f"trainer.accumulate_grad_batches={accumulated}"
        )
        runs.train([*arguments, "hydra.run.dir=run"])
        assert steps == list(range(1, 3 * math.ceil(STEPS_AN_EPOCH / accumulated) + 1))

    assert in_child(action) == 0


def test_each_domain_is_evaluated_with_its_own_statistics(trained):
    """Losses of the source's validation and of the target's test, found again from the checkpoint."""
    run = Run(trained(*overrides("dann", "test_resnet", "strategy.bn=domain_specific")))
    experiment = build(OmegaConf.load(run.path / "config.yaml"))
    network, objective = experiment.network.eval(), experiment.strategy.objective
    module = TransferModule(network, experiment.strategy, experiment.fit, seed=0)
    module.load_state_dict(load_checkpoint(run.last_checkpoint)["state_dict"])

    @torch.no_grad()
    def loss(split: str) -> float:
        data = experiment.batches
        batches = [data.prepared(batch) for batch in data.evaluation(split)]
        scores = torch.cat([network(batch["input"]) for batch in batches])
        return functional.cross_entropy(scores, torch.cat([batch["label"] for batch in batches])).item()

    result, history = run.result, pd.read_csv(run.path / "history.csv")
    with objective.domains.on_source(network):
        on_source = loss("val")
        assert history["val/loss"].iloc[-1] == pytest.approx(on_source, rel=1e-4)
        assert result["val"]["loss"] == pytest.approx(on_source, rel=1e-4)
        assert result["source_test"]["loss"] == pytest.approx(loss("source_test"), rel=1e-4)
        assert result["test"]["loss"] != pytest.approx(loss("test"), rel=1e-4)
    assert result["test"]["loss"] == pytest.approx(loss("test"), rel=1e-4)
    assert on_source != pytest.approx(loss("val"), rel=1e-4)
    exported = load_file(run.path / "model.safetensors")
    own = network.backbone.network.state_dict()
    assert all(torch.equal(exported[f"backbone.{name}"], tensor) for name, tensor in own.items())
