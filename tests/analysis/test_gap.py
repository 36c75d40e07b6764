"""The gap between two domains, from a config, from two folders, and for a run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.processes import command, in_child
from tests.training.test_resume import TINY
from transferlab.training import runs


def photos(root: str, *, brightness: int, flat: bool = False) -> None:
    """Twelve small pictures of two classes, or without class folders, noise around a brightness."""
    rng = np.random.default_rng(brightness)
    for row in range(12):
        file = Path(root, "" if flat else ("cats", "dogs")[row % 2], f"{row}.png")
        file.parent.mkdir(parents=True, exist_ok=True)
        noise = rng.integers(brightness, brightness + 50, (40, 40, 3), np.uint8)
        Image.fromarray(noise).save(file)


def figures(folder: str) -> list[dict[str, float]]:
    with Image.open(Path(folder, "gap.png")) as picture:
        assert min(picture.size) > 400
    return list(json.loads(Path(folder, "gap.json").read_text()).values())


def test_two_folders():
    photos("dark", brightness=0)
    photos("bright", brightness=200)
    photos("other_dark", brightness=1, flat=True)
    network = ["backbone=letters_resnet", "data.image_size=32"]
    code, shown, said = command(["gap", "dark", "bright", *network, "--out", "far"])
    assert code == 0, said
    assert shown.splitlines()[-1] == "far/gap.png"
    assert "not Inception's" in shown
    assert command(["gap", "other_dark", "dark", *network, "--out=near"])[0] == 0
    [far], [near] = figures("far"), figures("near")
    assert far["a_distance"] > 1.5
    assert far["mmd_p_value"] < 0.01
    assert far["mmd"] > 10 * abs(near["mmd"])
    assert far["frechet"] > 10 * near["frechet"]


@pytest.mark.slow
def test_a_run_before_and_after():
    training = [*TINY, "backbone.name=test_resnet", "data=digits_domains", "strategy=dann"]
    job = "seed=0,strategy=dann"  # as a sweep names its folders
    told = [*training, "trainer.max_epochs=1", f"hydra.run.dir='{job}'"]
    assert in_child(lambda: runs.train(told)) == 0
    code, _, said = command(["gap", job, "--out", "gap"])
    assert code == 0, said
    before, after = figures("gap")
    assert before["num_features"] == after["num_features"]
    assert before["mmd"] != after["mmd"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere", "nothing"], "nowhere: there is no such folder"),
        (["data=digits"], "compares two domains"),
        (["."], "not a finished run"),
        (["--in"], "no such option"),
    ],
)
def test_mistakes_are_said(arguments, said):
    code, _, errors = command(["gap", *arguments])
    assert code == 2
    assert said in errors
    assert "Traceback" not in errors
