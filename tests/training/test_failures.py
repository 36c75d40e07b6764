"""What a user gets wrong, or what goes wrong: one clear sentence, an exit code, nothing lost."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.processes import command
from tests.training.test_resume import TINY
from transferlab.run.run_folder import Run
from transferlab.training.lightning.module import TransferModule

SMALL = ["train", *TINY, "backbone.name=test_resnet", "hydra.run.dir=run"]
FOLDER = [*SMALL, "data=folder", "data.root=photos", "data.image_size=32", "data.shots_per_class=null"]


def photos(**classes: int) -> None:
    """A folder `photos` with so many images of each class."""
    rng = np.random.default_rng(0)
    Path("photos").mkdir()
    for name, count in classes.items():
        folder = Path("photos") / name
        folder.mkdir()
        for row in range(count):
            Image.fromarray(rng.integers(0, 255, (40, 48, 3), np.uint8)).save(folder / f"{row}.png")


def assert_refused(arguments: list[str], *parts: str) -> None:
    """The command says these things, in a sentence or two, and leaves with 2; no traceback."""
    code, _, said = command(arguments)
    assert code == 2, said
    assert "Traceback" not in said
    assert len(said.splitlines()) <= 6, said
    for part in parts:
        assert part in said, said


def test_folder_that_does_not_exist():
    assert_refused(FOLDER, "data.root=photos", "no such folder")


def test_empty_folder():
    photos()
    assert_refused(FOLDER, "photos")


def test_one_class():
    photos(cats=5)
    assert_refused(FOLDER, "photos", "class")


def test_class_with_one_image():
    photos(cats=6, dogs=1)
    assert_refused(FOLDER, "dogs")


def test_broken_image():
    photos(cats=6, dogs=6)
    Path("photos/dogs/broken.png").write_bytes(b"not an image")
    assert_refused(FOLDER, "broken.png", "data.on_bad_image")


def test_unreadable_weights():
    Path("bad.safetensors").write_bytes(b"nothing")
    Path("bad.json").write_text('{"architecture": "test_resnet"}')
    assert_refused([*SMALL, "backbone.weights=bad.safetensors"], "bad.safetensors", "not readable")


def test_weights_of_another_architecture():
    assert_refused([*SMALL, "backbone.weights=shipped"], "resnet10t", "test_resnet")


def test_a_run_is_never_overwritten():
    Path("run").mkdir()
    Path("run/precious.txt").write_text("mine")
    assert_refused(SMALL, "run", "never overwrites")
    assert [file.name for file in Path("run").iterdir()] == ["precious.txt"]


def test_nan_loss_ends_the_run_and_keeps_what_there_is():
    code, _, said = command(
        [*SMALL, "strategy.learning_rates.base=1.0e+30", "strategy.learning_rates.backbone_factor=1"]
    )
    assert code == 2, said
    assert "Traceback" not in said
    assert "finite" in said
    assert "strategy.learning_rates.base" in said
    run = Run("run")
    assert run.status == "failed"
    assert "finite" in run.result["error"]
    assert (run.path / "split.csv").is_file()


@pytest.mark.parametrize("sent", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_interrupted_then_resumed(sent):
    def interrupt_in_the_second_epoch() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job may ignore it
        original = TransferModule.training_step
        calls = iter(range(1000))

        def step(self, batch, batch_idx):
            if next(calls) == 8:
                os.kill(os.getpid(), sent)
            return original(self, batch, batch_idx)

        TransferModule.training_step = step

    code, _, said = command(SMALL, prepare=interrupt_in_the_second_epoch)
    assert code == 128 + sent, said
    assert "Traceback" not in said
    run = Run("run")
    assert run.status == "interrupted"
    assert len(run.history) == 1
    code, shown, said = command(["resume", "run"])
    assert code == 0, said
    assert shown.splitlines()[-1] == "run"
    assert run.status == "finished"
    assert len(run.history) == 3


def test_a_failing_job_is_recorded_and_the_others_finish():
    sweep = [
        "train",
        "-m",
        *TINY,
        "backbone.name=test_resnet",
        "hydra.sweep.dir=sweep",
        "trainer.max_epochs=1",
    ]
    code, shown, _ = command(
        [*sweep, "strategy.learning_rates.base=1e30,1e-3", "strategy.learning_rates.backbone_factor=1"]
    )
    assert code == 1
    results = [Run(folder).status for folder in Path("sweep").iterdir() if folder.is_dir()]
    assert sorted(results) == ["failed", "finished"]
    assert Path("sweep/comparison.csv").is_file()
    assert Path(shown.splitlines()[-1]).name == "sweep"
    assert "failed: " in shown


def test_a_batch_of_one_before_a_batch_norm_of_one_pixel():
    assert_refused(
        [*SMALL, "backbone.name=resnet18", "strategy.bn=mixed", "data.batch_size=1", "trainer.max_epochs=1"],
        "data.batch_size=1: a batch norm needs more than one value",
        "Fix: data.batch_size=2",
    )


def test_a_flag_that_lightning_refuses_once_it_has_seen_the_data():
    assert_refused([*SMALL, "+trainer.further.val_check_interval=50"], "trainer: ", "val_check_interval")


@pytest.mark.parametrize("precision", ["bf16-true", "64-true"])
def test_whole_networks_in_another_precision(precision):
    code, _, said = command([*SMALL, f"trainer.precision={precision}", "trainer.max_epochs=1"])
    assert code == 0, said
    assert Run("run").result["test"]["loss"] > 0


@pytest.mark.slow
def test_data_that_has_moved():
    """A run goes on with its data in another place; with other data it does not."""
    photos(cats=8, dogs=8)
    assert command(FOLDER)[0] == 0
    result = Run("run").result
    Run("run").write_json("result.json", {**result, "status": "interrupted"})
    Path("photos").rename("it's here")
    assert_refused(["resume", "run"], "data.root=photos", "say where it is: data.root=PATH")
    assert_refused(["resume", "run", "seed=3"], "seed=3: a recorded run keeps its config")
    photos(cats=8, dogs=9)
    assert_refused(["resume", "run", "data.root=photos"], "not the data that this run began with")
    assert command(["resume", "run", "data.root=it's here"])[0] == 0
    assert Run("run").result["test"] == result["test"]
    code, said, _ = command(["reproduce", "run", "data.root=it's here"])
    assert (code, said.splitlines()[-2]) == (0, "identical")
