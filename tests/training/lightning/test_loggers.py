"""What TensorBoard and W&B are told, read back from their files."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from omegaconf import OmegaConf

from tests.training.processes import in_child
from tests.training.wandb_file import read_wandb
from tests.training.wandb_server import wandb_server
from transferlab.evaluation.predictions import Predictions
from transferlab.training.lightning import loggers

CONFIG = OmegaConf.create({"seed": 3, "backbone": {"name": "resnet18", "kwargs": {}}, "twice": "${seed}"})
RESULT = {
    "status": "finished",
    "val": {"accuracy": 0.5, "auroc": None, "samples": 10},
    "test": {"accuracy": 0.75, "loss": 0.6},
    "cost": {"epochs": 2, "fit_seconds": 1.5},
}
PREDICTIONS = Predictions(
    ("a", "b", "c", "d", "e"),
    np.array([0, 0, 1, 1, -1]),
    np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.1, 0.9], [0.5, 0.5]]),
    ("cat", "dog"),
)


@pytest.fixture
def logged_out(monkeypatch, tmp_path):
    """Nobody is logged in to W&B, and nothing decides its mode."""
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_BASE_URL", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    return home


def test_wandb_two_jobs_of_a_sweep(logged_out, monkeypatch, tmp_path):
    """Offline without a login; each job is a run of its own, and finished before the next."""
    monkeypatch.setenv("WANDB_SILENT", "true")
    (tmp_path / "sweep.json").write_text("{}")
    sweep = f"{tmp_path.parent.name}/{tmp_path.name}"

    def two_jobs() -> None:
        import wandb

        for job, status in (("first", "finished"), ("second", "failed")):
            logger = loggers.wandb(folder=str(tmp_path / job), run_id=f"{job}-id", project="mine", tags=["t"])
            loggers.log_config([logger], CONFIG)
            for step in range(3):
                logger.log_metrics(
                    {"train/loss": 1.0 / (step + 1), "val/accuracy": 0.1 * step}, step=10 * step
                )
            if status == "finished":
                loggers.log_result([logger], RESULT, PREDICTIONS)
            loggers.finish([logger], failed=status == "failed")
        assert wandb.run is None

    # W&B leaves threads behind, and they come back in every fork: not in the process of other tests
    assert in_child(two_jobs) == 0
    first, second = read_wandb(tmp_path / "first"), read_wandb(tmp_path / "second")
    for run, job in ((first, "first"), (second, "second")):
        assert (run.run_id, run.project, run.group, run.tags) == (f"{job}-id", "mine", sweep, ["t"])
        assert run.config["seed"] == run.config["twice"] == 3
        assert run.config["backbone"] == {"name": "resnet18", "kwargs": {}}
        epochs = [entry for entry in run.history if "train/loss" in entry]
        assert [entry["train/loss"] for entry in epochs] == [1.0, 0.5, 1 / 3]
        assert [entry["trainer/global_step"] for entry in epochs] == [0, 10, 20]
    assert (first.exit_code, second.exit_code) == (0, 1)

    assert first.summary["status"] == "finished"
    assert first.summary["final/val/accuracy"] == 0.5
    assert first.summary["final/test/accuracy"] == 0.75
    assert first.summary["cost/fit_seconds"] == 1.5
    assert "final/val/auroc" not in first.summary
    assert "status" not in second.summary
    (table,) = (tmp_path / "first").glob("wandb/offline-run-*/files/media/table/confusion_matrix*.json")
    assert json.loads(table.read_text())["data"] == [  # the sample without a label is left out
        ["cat", "cat", 1],
        ["cat", "dog", 1],
        ["dog", "cat", 0],
        ["dog", "dog", 2],
    ]


def test_the_sweep_of_a_run(tmp_path):
    run = tmp_path / "name" / "today" / "job"
    run.mkdir(parents=True)
    assert loggers.sweep_of(run) is None
    (run.parent / "sweep.json").write_text("{}")
    assert loggers.sweep_of(run) == "name/today"


ONLINE = """
import sys
from pathlib import Path
from omegaconf import OmegaConf
from transferlab.training.lightning import loggers

failed = sys.argv[1] == "failed"
Path("name/sweep.json").parent.mkdir(exist_ok=True)
Path("name/sweep.json").write_text("{}")
logger = loggers.wandb(folder="name/job", run_id="the-id", project="mine", mode="online")
loggers.log_config([logger], OmegaConf.create({"seed": 3}))
for step in range(2):
    logger.log_metrics({"train/loss": 0.5 + step}, step=step)
loggers.finish([logger], failed=failed)
"""


@pytest.mark.slow
def test_a_server_is_told_of_one_run_that_fails_and_is_resumed_by_its_id(tmp_path):
    with wandb_server() as server:
        for outcome in ("failed", "finished"):
            done = subprocess.run(
                [sys.executable, "-c", ONLINE, outcome],
                env={
                    **{name: text for name, text in os.environ.items() if not name.startswith("WANDB_")},
                    **{"WANDB_BASE_URL": server.address, "WANDB_API_KEY": "x" * 40, "WANDB_SILENT": "true"},
                },
                capture_output=True,
                text=True,
                timeout=120,
            )
            assert done.returncode == 0, done.stderr
    begun = server.begun()
    assert [each["name"] for each in begun] == ["the-id"] * len(begun)
    assert {each["groupName"] for each in begun} - {None} == {f"{tmp_path.name}/name"}  # None: as before
    assert {each["project"] for each in begun} - {None} == {"mine"}
    assert server.exit_codes() == [1, 0]
    assert server.history("train/loss") == [0.5, 1.5] * 2


def test_wandb_mode_without_a_login(logged_out):
    assert loggers.mode_by_login() == "offline"
    (logged_out / ".netrc").write_text("machine example.org login user password secret\n")
    assert loggers.mode_by_login() == "offline"


def test_wandb_mode_of_a_key(logged_out, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    assert loggers.mode_by_login() == "online"


@pytest.mark.parametrize("name", [".netrc", "_netrc", "elsewhere"])
def test_wandb_mode_of_a_login(logged_out, monkeypatch, name):
    file = logged_out / name
    file.write_text(f"machine api.wandb.ai\n  login user\n  password {'x' * 40}\n")
    file.chmod(0o600)
    if name == "elsewhere":
        assert loggers.mode_by_login() == "offline"
        monkeypatch.setenv("NETRC", str(file))
    assert loggers.mode_by_login() == "online"
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:8080")
    assert loggers.mode_by_login() == "offline"
    file.write_text(f"machine 127.0.0.1:8080 login user password {'x' * 40}\n")
    assert loggers.mode_by_login() == "online"
    file.write_text("not a netrc file")
    assert loggers.mode_by_login() == "offline"


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    logger = loggers.tensorboard(folder=str(tmp_path), run_id="any")
    loggers.log_config([logger], CONFIG)
    for step in range(3):
        logger.log_metrics({"train/loss": 1.0 / (step + 1)}, step=10 * step)
    logger.finalize("success")  # as the Trainer does after fitting
    loggers.log_result([logger], RESULT, PREDICTIONS)
    loggers.finish([logger], failed=False)

    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

    events = EventMultiplexer().AddRunsFromDirectory(str(tmp_path)).Reload()
    scalars = {tag: events.Scalars("tensorboard", tag) for tag in events.Runs()["tensorboard"]["scalars"]}
    assert [(event.step, event.value) for event in scalars["train/loss"]] == [
        (0, 1.0),
        (10, 0.5),
        (20, pytest.approx(1 / 3)),
    ]
    assert scalars["final_test/accuracy"][0].value == 0.75
    assert "hp_metric" not in scalars
    assert "final_val/auroc" not in scalars


def test_tensorboard_is_not_installed(monkeypatch, tmp_path):
    def missing(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("tensorboard")

    monkeypatch.setattr(loggers, "TensorBoardLogger", missing)
    with pytest.raises(loggers.UserError, match=r"pip install 'transferlab\[tensorboard\]'"):
        loggers.tensorboard(folder=str(tmp_path), run_id="any")


@pytest.mark.slow
def test_clients_are_imported_only_where_used():
    module = "transferlab.training.lightning.loggers"
    code = f"import sys, {module}; print({{'wandb', 'tensorboard'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
