"""The main promise on real photos: transfer beats training from scratch, by as much as measured."""

from __future__ import annotations

import pytest

from tests.training.processes import in_child
from transferlab.run.run_folder import Run
from transferlab.training import runs

pytestmark = [pytest.mark.data, pytest.mark.slow]


def accuracy(folder: str, shared: object, *overrides: str, image_size: int = 128) -> float:
    weights = f"{shared}/weights/mobilenetv2_100.coral_tf2ptq_in1k.safetensors"
    arguments = [
        "data=folder",
        f"data.root={shared}/flowers",
        f"data.image_size={image_size}",
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


PROBE = [
    "strategy=feature_extraction",
    "strategy/head=linear",
    "trainer.max_epochs=8",
    "data/augmentation=none",
]


@pytest.mark.parametrize(("strategy", "epochs"), [("fine_tune", 4), ("progressive_unfreezing", 7)])
def test_transfer_on_flowers(strategy, epochs, shared_data):
    """Each beside a probe of its own, which takes seconds, so that they can run side by side."""
    probe = accuracy("probe", shared_data, *PROBE)
    tuned = accuracy(
        "tuned", shared_data, f"strategy={strategy}", "strategy.bn=frozen", f"trainer.max_epochs={epochs}"
    )
    assert probe >= 0.80
    assert tuned >= probe - 0.02


def test_training_from_scratch_on_flowers(shared_data):
    assert accuracy("scratch", shared_data, "strategy=from_scratch", "trainer.max_epochs=4") <= 0.60


def test_the_decoded_cache_changes_nothing(shared_data, monkeypatch, tmp_path):
    monkeypatch.setenv("TRANSFERLAB_CACHE", str(tmp_path / "cache"))
    short = [
        "strategy=fine_tune",
        "strategy.bn=frozen",
        "trainer.max_epochs=1",
        "trainer.limit_train_batches=4",
    ]
    files = accuracy("files", shared_data, *short, "data.cache=none", image_size=64)
    cached = accuracy("cached", shared_data, *short, "data.cache=decoded", image_size=64)
    assert any((tmp_path / "cache").rglob("*"))
    assert cached == files
    assert Run("cached").predictions("test").equals(Run("files").predictions("test"))
