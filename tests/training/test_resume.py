"""A run killed at any moment and resumed leaves the same as one left alone, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from safetensors.numpy import load_file

from tests.training.processes import in_child, kill_at_call, was_killed
from transferlab.config import config_files
from transferlab.run.run_folder import Run
from transferlab.training import runs
from transferlab.training.lightning.checkpoints import Checkpoints
from transferlab.training.lightning.module import TransferModule

FILES = {file.stem: file.read_text() for file in (config_files.shipped() / "strategy").glob("*.yaml")}
STRATEGIES = sorted(FILES)
TWO_DOMAINS = {"source_only", *(name for name, text in FILES.items() if "defaults: [source_only" in text)}
TINY = [
    "strategy=fine_tune",
    "data.shots_per_class=4",
    "data.val_fraction=0.03",
    "data.test_fraction=0.03",
    "data.batch_size=8",
    "trainer.max_epochs=3",
    "trainer.enable_progress_bar=false",
    "backbone.weights=random",
    "backbone=timm",
    "fit.checkpoint_every_steps=2",
    "fit.checkpoint_every_minutes=null",
]
STEPS_AN_EPOCH = 5
# killed by the fast tests: a frozen backbone, stages that open; two domains are in test_adaptation.py
KINDS = {"feature_extraction", "lp_ft", "progressive_unfreezing_validated"}


def overrides(strategy: str = "fine_tune", backbone: str = "test_resnet", *further: str) -> list[str]:
    data = "digits_domains" if strategy in TWO_DOMAINS else "digits"
    # with kept features a head is fitted without Lightning, and starts over: tests/training/test_head_fit.py
    images = ["strategy/head=linear", "features.cache=off"] if strategy == "feature_extraction" else []
    return [*TINY, f"strategy={strategy}", f"backbone.name={backbone}", f"data={data}", *images, *further]


def train_alone(folder: str, arguments: list[str]) -> None:
    assert in_child(lambda: runs.train([*arguments, f"hydra.run.dir={folder}"])) == 0


def train_killed(folder: str, arguments: list[str], owner: type, method: str, call: int) -> None:
    def action() -> None:
        kill_at_call(owner, method, call)
        runs.train([*arguments, f"hydra.run.dir={folder}"])

    assert was_killed(in_child(action))
    assert Run(folder).recorded_status == "running"
    assert Run(folder).status == "interrupted"  # as no process holds it


def resume(folder: str, *arguments: str) -> None:
    assert in_child(lambda: runs.resume(folder)) == 0
    assert Run(folder).status == "finished"


def assert_same(one: str, other: str) -> None:
    weights, expected = (load_file(Path(folder) / "model.safetensors") for folder in (one, other))
    assert weights.keys() == expected.keys()
    different = [name for name in weights if weights[name].tobytes() != expected[name].tobytes()]
    assert not different
    for table in ("history.csv", "predictions/val.csv", "predictions/test.csv", "split.csv"):
        read = [
            pd.read_csv(Path(folder) / table).drop(columns="seconds", errors="ignore")
            for folder in (one, other)
        ]
        pd.testing.assert_frame_equal(*read, check_exact=True)
    results = [Run(folder).result for folder in (one, other)]
    for key in ("val", "test", "per_class", "selection"):
        assert results[0][key] == results[1][key]


@pytest.mark.parametrize("backbone", ["test_resnet", pytest.param("test_vit", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "strategy",
    [pytest.param(name, marks=() if name in KINDS else pytest.mark.slow) for name in STRATEGIES],
)
def test_every_strategy_trains_is_killed_resumes_and_tests(strategy, backbone, trained):
    """Killed in the second epoch, after a checkpoint within it and before the next."""
    arguments = overrides(strategy, backbone)
    alone = trained(*arguments)
    train_killed("killed", arguments, TransferModule, "training_step", STEPS_AN_EPOCH + 4)
    resume("killed")
    assert_same("killed", alone)


@pytest.mark.parametrize(
    ("where", "owner", "method", "call"),
    [
        ("before the first checkpoint", TransferModule, "training_step", 2),
        ("in the test", TransferModule, "test_step", 2),
        *(
            pytest.param(*moment, marks=pytest.mark.slow)
            for moment in (
                ("in the first validation", TransferModule, "validation_step", 3),
                ("before an epoch's record", TransferModule, "on_train_epoch_end", 2),
                ("before an epoch's checkpoint", Checkpoints, "on_train_epoch_end", 2),
                ("at an epoch's first step", TransferModule, "training_step", STEPS_AN_EPOCH + 1),
                ("in the last validation", TransferModule, "on_validation_epoch_end", 3),
                ("at the training's end", TransferModule, "on_train_end", 1),
            )
        ),
    ],
)
def test_killed_anywhere(where, owner, method, call, trained, monkeypatch):
    """And resumed from another folder."""
    arguments = overrides(
        "progressive_unfreezing", "test_resnet", "data/augmentation=light", "strategy.head_dropout=0.2"
    )
    alone = trained(*arguments)
    train_killed("killed", arguments, owner, method, call)
    Path("there").mkdir()
    monkeypatch.chdir("there")
    resume("../killed")
    assert_same("../killed", alone)


@pytest.mark.parametrize(
    "setting",
    [
        ["fit.ema_decay=0.9"],
        *(
            pytest.param(setting, marks=pytest.mark.slow)
            for setting in (
                ["fit.swa_start=0.3", "strategy.learning_rates.sam_rho=0.05", "strategy.head_dropout=0.2"],
                ["trainer.accumulate_grad_batches=2", "strategy.learning_rates.warmup_epochs=1.5"],
                ["fit.early_stopping_patience=1", "strategy.learning_rates.base=1.0e-9"],
                ["strategy/penalty=[l1,l2_sp]", "trainer.gradient_clip_val=0.5"],
                [
                    "strategy/learning_rates=default",
                    "strategy.learning_rates.optimizer=sgd",
                    "strategy.learning_rates.schedule=step",
                ],
                ["data.num_workers=2", "data/augmentation=standard"],
            )
        ),
    ],
    ids=lambda setting: setting[0],
)
def test_killed_with_settings_that_carry_state(setting, trained):
    arguments = overrides("fine_tune", "test_resnet", *setting)
    alone = trained(*arguments)
    train_killed("killed", arguments, TransferModule, "training_step", STEPS_AN_EPOCH + 4)
    resume("killed")
    assert_same("killed", alone)


@pytest.mark.slow
@pytest.mark.parametrize("average", ["fit.ema_decay=0.9", "fit.swa_start=0.5"])
def test_killed_in_the_test_with_an_average_of_the_last_weights(average, trained):
    arguments = overrides("fine_tune", "test_resnet", average, "strategy.selection=last")
    alone = trained(*arguments)
    train_killed("killed", arguments, TransferModule, "test_step", 2)
    resume("killed")
    assert_same("killed", alone)


@pytest.mark.slow
def test_killed_twice(trained):
    arguments = overrides()
    alone = trained(*arguments)
    train_killed("killed", arguments, TransferModule, "training_step", 4)

    def again() -> None:
        kill_at_call(TransferModule, "training_step", 3)
        runs.resume("killed")

    assert was_killed(in_child(again))
    resume("killed")
    assert_same("killed", alone)


def test_a_finished_run_is_left_as_it_is(trained):
    run = trained(*overrides())
    before = {file: file.stat().st_mtime_ns for file in Path(run).rglob("*") if file.is_file()}
    assert before
    assert runs.resume(run).status == "finished"
    assert {file: file.stat().st_mtime_ns for file in Path(run).rglob("*") if file.is_file()} == before


@pytest.mark.slow
def test_augmentation_and_dropout_do_not_depend_on_workers():
    arguments = overrides(
        "fine_tune", "test_resnet", "data/augmentation=standard", "strategy.head_dropout=0.3"
    )
    train_alone("none", [*arguments, "data.num_workers=0"])
    train_alone("two", [*arguments, "data.num_workers=2"])
    assert_same("none", "two")


def test_runs_differ_by_seed(trained):
    zero = trained(*overrides())
    train_alone("one", [*overrides(), "seed=1"])
    assert [Run(folder).result["seed"] for folder in (zero, "one")] == [0, 1]
    with pytest.raises(AssertionError):
        assert_same(zero, "one")
