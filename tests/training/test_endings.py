"""Ends of a run: whatever ends it is obeyed and recorded, and nothing half-written stays."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
from pathlib import Path

import pytest
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Timer

from tests.training.heads.test_head_fit import PROBE
from tests.training.processes import command, in_child, kill_at_call, was_killed
from tests.training.test_resume import STEPS_AN_EPOCH, overrides
from transferlab.config.compose import compose_checked
from transferlab.run.run_folder import Run
from transferlab.training import runs
from transferlab.training.build import build
from transferlab.training.fit import fit
from transferlab.training.heads.alone import AloneLearner
from transferlab.training.lightning.checkpoint_content import load_checkpoint
from transferlab.training.lightning.module import TransferModule

TUNE = overrides("fine_tune", "test_resnet", "fit.checkpoint_every_steps=null")
TRAIN = ["train", *TUNE, "hydra.run.dir=run"]


def at_call(owner: type, method: str, call: int, action) -> None:
    """Do something at the `call`-th call (from 1) of a method, before it."""
    original, calls = getattr(owner, method), iter(range(1, 10_000))

    def doing(*args, **kwargs):
        if next(calls) == call:
            action()
        return original(*args, **kwargs)

    setattr(owner, method, doing)


def leftovers() -> list[str]:
    return [f.name for f in Path("run").rglob("*") if f.suffix in (".tmp", ".making") or f.name == "new.ckpt"]


@pytest.mark.parametrize(
    "sent",
    [
        signal.SIGTERM,
        signal.SIGHUP,
        *(pytest.param(each, marks=pytest.mark.slow) for each in (signal.SIGUSR1, signal.SIGUSR2)),
    ],
)
def test_a_signal_saves_the_step_and_gives_its_exit_code(sent):
    def prepare() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # a background job may ignore it
        at_call(TransferModule, "training_step", STEPS_AN_EPOCH + 2, lambda: os.kill(os.getpid(), sent))

    code, _, said = command(TRAIN, prepare=prepare)
    assert code == 128 + sent, said
    assert said.splitlines()[-1] == f"interrupted by {sent.name}"
    assert Run("run").recorded_status == "interrupted"
    assert load_checkpoint(Run("run").last_checkpoint)["global_step"] == STEPS_AN_EPOCH + 2
    assert leftovers() == []


def test_a_signal_in_the_fit_of_a_head():
    code, _, said = command(
        ["train", *PROBE, "hydra.run.dir=run"],
        prepare=lambda: at_call(AloneLearner, "train_epoch", 2, lambda: os.kill(os.getpid(), signal.SIGUSR1)),
    )
    assert code == 128 + signal.SIGUSR1, said
    assert Run("run").recorded_status == "interrupted"


def test_a_folder_that_is_deleted_under_a_run():
    code, _, said = command(
        TRAIN,
        prepare=lambda: at_call(
            TransferModule, "training_step", 3, lambda: shutil.rmtree("run", ignore_errors=True)
        ),
    )
    assert code == 2
    assert "run: the run folder was deleted, moved or emptied while the run was in it" in said
    assert "Traceback" not in said
    assert not Path("run").exists()


def test_a_config_that_is_deleted_under_a_run():
    action = lambda: Path("run/config.yaml").unlink()  # noqa: E731
    code, _, said = command(
        ["train", *PROBE, "hydra.run.dir=run"],
        prepare=lambda: at_call(AloneLearner, "train_epoch", 2, action),
    )
    assert code == 2, said
    assert Run("run").status == "failed"
    assert "deleted" in Run("run").result["error"]


def test_a_full_disk():
    def full(trainer, path, *args, **kwargs):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"a part of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    def prepare() -> None:
        pl.Trainer.save_checkpoint = full

    code, _, said = command(TRAIN, prepare=prepare)
    assert code == 2
    assert "run/checkpoints/new.ckpt: no space is left on this disk. Fix: free some, then" in said
    assert "Traceback" not in said
    assert Run("run").recorded_status == "failed"
    assert leftovers() == []


def out_of_time_after(steps: int) -> None:
    """Lightning's timer counts its questions instead of seconds; one second is allowed."""
    questions = iter(range(10_000))
    Timer.time_elapsed = lambda self, stage=None: float(next(questions) > steps)


def test_out_of_time_it_stops_is_tested_and_stays_stopped():
    arguments = [*TUNE, "trainer.max_epochs=400", "trainer.max_time=00:00:00:01", "hydra.run.dir=run"]

    def killed_in_the_test() -> None:
        out_of_time_after(STEPS_AN_EPOCH + 2)
        kill_at_call(TransferModule, "test_step", 1)
        runs.train(arguments)

    assert was_killed(in_child(killed_in_the_test))
    saved = load_checkpoint(Run("run").last_checkpoint)
    assert saved["global_step"] < 2 * STEPS_AN_EPOCH
    assert len(saved["transferlab"]["history"]) == 2
    assert in_child(lambda: runs.resume("run")) == 0
    run = Run("run")
    assert len(run.history) == 2
    assert run.result["test"]["samples"] > 0


def test_the_time_before_a_kill_counts_after_a_resume():
    arguments = [*overrides(), "trainer.max_epochs=400", "trainer.max_time=00:01:00:00", "hydra.run.dir=run"]

    def killed() -> None:
        Timer.time_elapsed = lambda self, stage=None: 1800.0
        kill_at_call(TransferModule, "training_step", STEPS_AN_EPOCH + 4)
        runs.train(arguments)

    def resumed() -> None:
        original = Timer.on_train_start

        def on_train_start(self, *args):
            original(self, *args)
            Path("remaining").write_text(str(self.time_remaining()))
            self._duration = 0.0  # and that is enough

        Timer.on_train_start = on_train_start
        runs.resume("run")

    assert was_killed(in_child(killed))
    assert in_child(resumed) == 0
    assert 1700 < float(Path("remaining").read_text()) <= 1800


def test_what_a_users_callback_wishes():
    class Ends(pl.Callback):
        def on_train_batch_end(self, trainer, *args):
            trainer.should_stop = trainer.global_step >= STEPS_AN_EPOCH + 1

    experiment = build(compose_checked([*TUNE, "trainer.max_epochs=9"]).config)
    assert len(fit(experiment, callbacks=[Ends()]).history) == 2


def test_it_waits_for_min_epochs_and_forgets_nothing():
    class Ends(pl.Callback):
        def on_train_epoch_end(self, trainer, *args):
            trainer.should_stop = True

    chosen = [*TUNE, "trainer.max_epochs=9", "trainer.min_epochs=3"]
    assert len(fit(build(compose_checked(chosen).config), callbacks=[Ends()]).history) == 3


def test_the_check_before_the_training_leaves_no_metrics():
    chosen = [*TUNE, "trainer.num_sanity_val_steps=2", "trainer.check_val_every_n_epoch=2"]
    history = fit(build(compose_checked(chosen).config)).history
    assert ["val/loss" in entry for entry in history] == [False, True, False]


def test_a_result_on_a_full_disk_is_written_in_place(monkeypatch):
    run = Run("run")
    run.create()
    run.write_json("result.json", {"status": "running", "warnings": ["a long text"] * 20})
    size = Path("run/result.json").stat().st_size

    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("transferlab.run.run_folder.write_atomically", full)
    run.record_end({"status": "failed", "error": "no space"})
    assert json.loads(Path("run/result.json").read_text()) == {"status": "failed", "error": "no space"}
    assert Path("run/result.json").stat().st_size == size
