"""The main promise on real photos: transfer beats training from scratch, by as much as measured."""

from __future__ import annotations

import pytest

from tests.training.processes import in_child
from transferlab.run.run_folder import Run
from transferlab.training import runs

pytestmark = [pytest.mark.data, pytest.mark.slow]


def accuracy(folder: str, shared: object, *overrides: str) -> float:
    weights = f"{shared}/weights/mobilenetv2_100.coral_tf2ptq_in1k.safetensors"
    arguments = [
        "data=folder",
        f"data.root={shared}/flowers",
        "data.image_size=128",
        "backbone=timm",
        f"hydra.run.dir={folder}",
        *overrides,
    ]
    if "strategy=from_scratch" in overrides:
        arguments += ["backbone.name=mobilenetv2_100", "backbone.weights=random"]
    else:
        arguments += [f"backbone.weights={weights}"]
    assert in_child(lambda: runs.train(arguments)) == 0
    return Run(folder).result["test"]["accuracy"]


def test_transfer_on_flowers(shared_data):
    few_epochs = "trainer.max_epochs=4"
    probe = accuracy(
        "probe",
        shared_data,
        "strategy=feature_extraction",
        "strategy/head=linear",
        "trainer.max_epochs=8",
        "data/augmentation=none",
    )
    tuned = accuracy("tuned", shared_data, "strategy=fine_tune", "strategy.bn=frozen", few_epochs)
    gradual = accuracy(
        "gradual",
        shared_data,
        "strategy=progressive_unfreezing",
        "strategy.bn=frozen",
        "trainer.max_epochs=7",
    )
    scratch = accuracy("scratch", shared_data, "strategy=from_scratch", few_epochs)
    assert probe >= 0.80
    assert tuned >= probe - 0.02
    assert gradual >= probe - 0.02
    assert scratch <= 0.60


def test_the_decoded_cache_changes_nothing(shared_data, monkeypatch, tmp_path):
    monkeypatch.setenv("TRANSFERLAB_CACHE", str(tmp_path / "cache"))
    short = [
        "strategy=fine_tune",
        "strategy.bn=frozen",
        "trainer.max_epochs=1",
        "trainer.limit_train_batches=4",
    ]
    files = accuracy("files", shared_data, *short, "data.cache=none")
    cached = accuracy("cached", shared_data, *short, "data.cache=decoded")
    assert any((tmp_path / "cache").rglob("*"))
    assert cached == files
    assert Run("cached").predictions("test").equals(Run("files").predictions("test"))
