"""What Python offers: the verbs as functions, each with what the command prints as an object."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import transferlab
from transferlab import api
from transferlab.run.errors import UserError
from transferlab.run.run_folder import Run

TINY = [
    *("data.shots_per_class=3", "data.val_fraction=0.03", "data.test_fraction=0.03", "data.batch_size=8"),
    *("trainer.max_epochs=1", "trainer.enable_progress_bar=false", "strategy=feature_extraction"),
    *("backbone=timm", "backbone.name=test_resnet", "backbone.weights=random", "data/augmentation=none"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("api")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRANSFERLAB_CACHE", str(folder / "cache"))
        return transferlab.train([*TINY, f"hydra.run.dir={folder / 'run'}"])


def test_everything_that_is_offered_is_there_and_documented():
    for name in transferlab.__all__:
        assert getattr(transferlab, name).__doc__
    assert set(transferlab.__all__) <= set(dir(transferlab))
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        _ = transferlab.trian  # type: ignore[attr-defined]


def test_importing_it_imports_no_torch():
    code = "import sys, transferlab, transferlab.api; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_finished_run_is_resumed_to_itself(run):
    assert transferlab.resume(run.path).result == run.result


def test_evaluate_gives_the_metrics_of_the_run(run):
    again = transferlab.evaluate(run.path, out="again")
    assert again.path == Path("again").resolve()
    assert again.result["test"] == pytest.approx(run.result["test"], rel=1e-6)  # not from stored features
    assert len(again.predictions("test")) == run.result["test"]["samples"]
    assert transferlab.Model.load(run.path).classes == tuple("0123456789")


def test_compare_gives_groups_with_metrics(run):
    (row,) = transferlab.compare(run.path).rows
    assert row.metrics["test accuracy"].mean == run.result["test"]["accuracy"]
    with pytest.raises(UserError, match="there is no such folder"):
        transferlab.compare("nowhere")


def photos(root: Path, brightness: int) -> None:
    for row in range(12):
        file = root / ("cats", "dogs")[row % 2] / f"{row}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        generator = np.random.default_rng([row, brightness])
        pixels = generator.integers(brightness, brightness + 60, (40, 40, 3), np.uint8)
        Image.fromarray(pixels).save(file)


def test_inspect_and_gap_of_folders():
    photos(Path("dark"), 0)
    photos(Path("light"), 180)
    found = transferlab.inspect(["data.root=dark"])
    assert found.problems == []
    assert found.domains[0].classes == {"cats": 6, "dogs": 6}
    network = ["backbone=timm", "backbone.name=test_resnet", "backbone.weights=random", "data.image_size=32"]
    (measured,) = transferlab.gap("dark", "light", overrides=network).measured
    assert measured.gap.num_source >= 4
    assert measured.gap.a_distance > 0.5
    with pytest.raises(UserError, match="compares two folders, not 3"):
        transferlab.gap("dark", "light", "dark")


def test_gap_of_a_run_takes_the_permission_for_own_modules_alone(monkeypatch):
    run = Run("run")
    run.create()
    run.model_file.touch()
    asked = []
    monkeypatch.setattr(api, "recorded_config", lambda run, allow: asked.append(allow))
    monkeypatch.setattr("transferlab.analysis.gap.measure_gap", lambda config, run: run.path)
    assert transferlab.gap("run", overrides=["allow=[my_nets,my_parts]"]) == Path("run")
    assert asked == [["my_nets", "my_parts"]]
    with pytest.raises(UserError, match=r"seed=3: a run has its own config"):
        transferlab.gap("run", overrides=["allow=[my_nets]", "seed=3"])
