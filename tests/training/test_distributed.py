"""Two processes for one run: same weights on both, every sample counted once, files written once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from transferlab.run.folder import Run


@pytest.mark.slow
def test_two_processes_run_frozen_layers_once():
    def run(folder: str, *further: str) -> Run:
        command = [
            *(sys.executable, "-m", "transferlab", "train", "trainer=ddp", "trainer.accelerator=cpu"),
            *("trainer.devices=2", "strategy=partial", "data.shots_per_class=4", "data.batch_size=4"),
            *(
                "trainer.max_epochs=2",
                "backbone=timm",
                "backbone.name=test_resnet",
                "backbone.weights=random",
            ),
        ]
        finished = subprocess.run(
            [*command, f"hydra.run.dir={folder}", *further],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert finished.returncode == 0, finished.stderr
        return Run(folder)

    kept, whole = run("kept"), run("whole", "features.cache=off")
    assert list(Path("cache/features").glob("*/*.safetensors"))
    for part in ("val", "test"):
        probabilities = [left.predictions(part).filter(like="p_").to_numpy() for left in (kept, whole)]
        np.testing.assert_allclose(*probabilities, atol=2e-5)


@pytest.mark.slow
def test_two_processes_train_and_evaluate_each_sample_once():
    command = [
        *(
            sys.executable,
            "-m",
            "transferlab",
            "train",
            "trainer=ddp",
            "trainer.accelerator=cpu",
            "trainer.devices=2",
        ),
        *(
            "strategy=progressive_unfreezing",
            "data.shots_per_class=4",
            "data.batch_size=4",
            "trainer.max_epochs=3",
        ),
        *("backbone=timm", "backbone.name=test_resnet", "backbone.weights=random", "hydra.run.dir=run"),
    ]
    finished = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines()[-1] == "run"
    assert finished.stdout.count("epoch   3/3") == 1
    run = Run("run")
    assert run.status == "finished"
    split = np.genfromtxt("run/split.csv", delimiter=",", dtype=str, skip_header=1)
    for part in ("val", "test"):
        predicted = run.predictions(part)["sample"]
        assert predicted.is_unique
        assert len(predicted) == (split == part).any(axis=1).sum()
    assert not list(Path().glob("lightning_logs"))
