"""Whole trainings through the command: what a run leaves, and the switches that a run must survive."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sklearn.metrics import accuracy_score, confusion_matrix

import transferlab
from tests.training.processes import command, in_child
from tests.training.test_resume import TINY, overrides
from transferlab.evaluation.predictions import Predictions
from transferlab.run.run_folder import Run
from transferlab.training.lightning.checkpoint_content import load_checkpoint

RUN = ["train", *TINY, "backbone.name=test_resnet", "hydra.run.dir=run"]


def run(*further: str) -> Run:
    code, shown, said = command([*RUN, *further])
    assert code == 0, said
    assert shown.splitlines()[-1] == "run"
    return Run("run")


def test_what_a_run_leaves():
    result = run("strategy=partial", "seed=0", "strategy.selection=val_loss").result
    assert result["status"] == "finished"
    for part in ("val", "test"):
        assert set(result[part]) == {"accuracy", "balanced_accuracy", "macro_f1", "auroc", "loss", "samples"}
    assert set(result["per_class"]) == set("0123456789")
    assert set(result["cost"]) == {"fit_seconds", "epochs", "parameters", "trainable_parameters"}
    assert 0 < result["cost"]["trainable_parameters"] < result["cost"]["parameters"]
    assert result["cost"]["fit_seconds"] > 0
    assert result["selection"]["rule"] == "val_loss"
    history = Run("run").history
    assert result["selection"]["epoch"] == history["val/loss"].idxmin()
    assert result["val"]["loss"] == pytest.approx(history["val/loss"].min(), abs=1e-9)
    table = Predictions.read(Path("run/predictions/test.csv"))
    predicted = table.probabilities_NC.argmax(1)
    assert result["test"]["accuracy"] == pytest.approx(accuracy_score(table.labels_N, predicted))
    assert result["confusion_matrix"]["counts"] == confusion_matrix(table.labels_N, predicted).tolist()
    for name in ("config.yaml", "environment.json", "split.csv", "model.json", "model.safetensors"):
        assert Path("run", name).stat().st_size > 0
    environment = json.loads(Path("run/environment.json").read_text())
    assert environment["choices"]["strategy"] == "partial"
    config = Path("run/config.yaml").read_text().splitlines()
    assert "allow" not in config
    assert "seed: 0" in config


def test_the_validated_depth_is_recorded():
    result = run("strategy=progressive_unfreezing_validated", "strategy.unfreezing.patience=1").result
    curve = result["selection"]["depth_curve"]
    best = min(curve, key=curve.get)
    assert result["selection"]["trainable_stages"] == int(best)


@pytest.mark.parametrize(
    "setting",
    [
        "trainer.precision=bf16-mixed",
        "fit.keep_checkpoints=none",
        "data/mixing=mixup",
        *(
            pytest.param(setting, marks=pytest.mark.slow)
            for setting in (
                "trainer.max_time=00:00:05:00",
                "backbone.gradient_checkpointing=true",
                "trainer.max_steps=7",
            )
        ),
    ],
)
def test_switches(setting):
    left = run(setting, "trainer.max_epochs=2", "fit.checkpoint_every_steps=null")
    assert left.status == "finished"
    assert left.last_checkpoint.is_file() == (setting != "fit.keep_checkpoints=none")


@pytest.mark.parametrize("which", ["best", "every_epoch"])
def test_checkpoints_that_stay(which):
    left = run("trainer.max_epochs=3", f"fit.keep_checkpoints={which}", "strategy.selection=val_loss")
    names = sorted(file.name for file in left.last_checkpoint.parent.iterdir())
    epochs = [f"epoch_000{number}.ckpt" for number in range(3)]
    assert names == (["best.ckpt"] if which == "best" else ["best.ckpt", *epochs, "last.ckpt"])
    histories = [
        load_checkpoint(left.last_checkpoint.parent / name)["transferlab"]["history"] for name in names
    ]
    if which == "every_epoch":
        assert [len(history) for history in histories[1:4]] == [1, 2, 3]
    assert len(histories[0]) == left.result["selection"]["epoch"] + 1


@pytest.mark.slow
def test_compiled_backbone():
    assert run("fit.compile=true", "trainer.max_epochs=1").status == "finished"


@pytest.mark.slow  # and without a training: tests/training/test_loggers.py
def test_jobs_of_a_sweep_have_wandb_runs_of_their_own():
    sweep = ["train", "-m", *TINY, "backbone.name=test_resnet", "trainer.max_epochs=1", "logger=wandb"]
    code, _, said = command([*sweep, "seed=0,1", "hydra.sweep.dir=sweep"])
    assert code == 0, said
    files = sorted(Path("sweep").rglob("*.wandb"))
    assert len(files) == 2
    assert len({file.parents[2] for file in files}) == 2


def test_python_does_what_the_command_does():
    def action() -> None:
        left = transferlab.train([*overrides(), "trainer.max_epochs=1", "hydra.run.dir=python"])
        assert left.result["test"]["accuracy"] >= 0
        assert len(left.history) == 1
        assert len(left.predictions("test")) == left.result["test"]["samples"]

    assert in_child(action) == 0


def test_a_device_that_is_not_here_is_said_in_a_sentence():
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    code, _, said = command([*RUN, "trainer=gpu"])
    assert code == 2
    assert "Traceback" not in said
    assert "gpu" in said.lower()
    assert Run("run").status == "failed"
