"""Whole sweeps through the command: several jobs at once, each in a process that may die by itself."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.training.processes import command
from tests.training.test_resume import TINY, assert_same
from transferlab.run import signals as run_signals
from transferlab.run.run_folder import Run
from transferlab.sweep.local import children
from transferlab.sweep.local import local_launcher as launch
from transferlab.training.lightning.module import TransferModule

SWEEP = ["train", "-m", *TINY, "backbone.name=test_resnet", "trainer.max_epochs=2"]


def sweep(folder: str, *further: str, at_once: int = 2, prepare=lambda: None) -> tuple[int, str, str]:
    where = [f"hydra.sweep.dir={folder}", f"hydra.launcher.jobs_at_once={at_once}"]
    return command([*SWEEP, *where, *further], prepare=prepare)


def runs(folder: str) -> dict[int, Run]:
    """The runs of a sweep over seeds, by seed."""
    found = {}
    for config in Path(folder).glob("*/config.yaml"):
        (line,) = [line for line in config.read_text().splitlines() if line.startswith("seed: ")]
        found[int(line.removeprefix("seed: "))] = Run(config.parent)
    return dict(sorted(found.items()))


def statuses(folder: str) -> dict[int, str]:
    return {seed: run.status for seed, run in runs(folder).items()}


def comparison(folder: str) -> pd.DataFrame:
    return pd.read_csv(Path(folder) / "comparison.csv")


def in_second_epoch(seed: int, action) -> None:
    """Let the job of this seed do something in its second epoch, after a checkpoint within it."""
    original, steps = TransferModule.training_step, iter(range(10_000))

    def step(self, batch, batch_idx):
        if self.seed == seed and next(steps) == 8:
            action()
        return original(self, batch, batch_idx)

    TransferModule.training_step = step


def kill_myself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_job_leaves_the_others_running_and_is_recorded():
    code, shown, _ = sweep("sweep", "seed=0,1", prepare=lambda: in_second_epoch(0, kill_myself))
    assert code == 1
    assert statuses("sweep") == {0: "failed", 1: "finished"}
    killed = runs("sweep")[0]
    assert killed.result["error"] == "killed by SIGKILL"
    assert killed.last_checkpoint.is_file()
    assert f"failed: {killed.path.name}: killed by SIGKILL\n" in shown
    assert comparison("sweep")[["runs", "unfinished"]].values.tolist() == [[1, 1]]


@pytest.mark.slow
def test_the_same_command_completes_a_sweep_as_if_no_job_had_died():
    assert sweep("killed", "seed=0,1,2", prepare=lambda: in_second_epoch(1, kill_myself))[0] == 1
    before = {seed: (run.path / "result.json").stat().st_mtime_ns for seed, run in runs("killed").items()}
    code, shown, _ = sweep("killed", "seed=0,1,2")
    assert code == 0
    assert "2 of 3 finished before, not run again\n" in shown
    after = {seed: (run.path / "result.json").stat().st_mtime_ns for seed, run in runs("killed").items()}
    assert [seed for seed in after if after[seed] != before[seed]] == [1]
    # one at a time, undisturbed
    assert sweep("alone", "seed=0,1,2", at_once=1)[0] == 0
    for seed, run in runs("alone").items():
        assert_same(str(runs("killed")[seed].path), str(run.path))
    pd.testing.assert_frame_equal(comparison("killed"), comparison("alone"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("action", "error"),
    [
        (lambda: os._exit(0), "its process ended with exit code 0 before the run had"),
        (lambda: os._exit(7), "its process ended with exit code 7 before the run had"),
        (lambda: os.kill(os.getpid(), signal.SIGVTALRM), "killed by SIGVTALRM"),
    ],
)
def test_other_ways_to_die(action, error):
    code, _, _ = sweep("sweep", "seed=0,1", prepare=lambda: in_second_epoch(0, action))
    assert code == 1
    assert statuses("sweep") == {0: "failed", 1: "finished"}
    assert runs("sweep")[0].result["error"] == error


@pytest.mark.slow
def test_a_fault_of_the_program_keeps_its_trace():
    def fault() -> None:
        raise RuntimeError("a fault")

    code, _, said = sweep("sweep", "seed=0,1", at_once=1, prepare=lambda: in_second_epoch(0, fault))
    assert code == 1
    assert statuses("sweep") == {0: "failed", 1: "finished"}
    assert "RuntimeError: a fault" in said
    assert "in fault\n" in (runs("sweep")[0].path / "error.txt").read_text()


@pytest.mark.slow
def test_an_error_in_the_config_of_one_job_is_recorded_and_mended_by_the_same_command():
    Path("there").mkdir()
    wrong = ["data.root=there,gone", "data=digits"]

    def lose_a_folder() -> None:
        from transferlab.config import multirun

        check = multirun.check_sweep
        Path("gone").mkdir()

        def check_then_lose(*arguments, **named):
            found = check(*arguments, **named)
            Path("gone").rmdir()
            return found

        from transferlab.command import train

        train.check_sweep = check_then_lose

    code, shown, said = sweep("sweep", *wrong, prepare=lose_a_folder)
    assert code == 1
    assert "data.root=gone: there is no such folder." in said
    found = sorted(run.status for run in map(Run, Path("sweep").iterdir()) if run.path.is_dir())
    assert found == ["failed", "finished"]
    assert "failed: " in shown
    Path("gone").mkdir()
    assert sweep("sweep", *wrong)[0] == 0


@pytest.mark.slow
def test_output_of_jobs_beside_each_other_is_kept_apart():
    code, shown, _ = sweep("sweep", "seed=0,1", "trainer.enable_progress_bar=true")
    assert code == 0
    assert "epoch" not in shown
    assert shown.startswith("note: ")
    assert "2 at once, 1 thread each" in shown
    for run in runs("sweep").values():
        assert f"finished: {run.path.name}  " in shown
        said = (run.path / "log.txt").read_text()
        assert said.count("epoch   2/2") == 1


@pytest.mark.slow
def test_output_of_one_job_at_a_time_passes_through():
    code, shown, _ = sweep("sweep", "seed=0,1", "trainer.enable_progress_bar=true", at_once=1)
    assert code == 0
    assert shown.count("epoch   2/2") == 2
    assert not list(Path("sweep").glob("*/log.txt"))


@pytest.mark.slow
def test_a_job_asked_for_twice_is_run_once():
    code, shown, _ = sweep("sweep", "data.num_workers=0,1", "trainer.enable_progress_bar=true")
    assert code == 0
    assert shown.count("epoch   2/2") == 1
    assert comparison("sweep")["runs"].tolist() == [1]


def interrupted_sweep(*signals: int, ignoring: bool = False) -> tuple[int, str, str]:
    """A sweep of two jobs at once that gets these signals when both are in their second epoch."""

    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job may ignore it
        run_signals.SAVING_PATIENCE_S = 0.5  # the step, here, takes a minute
        launcher = os.getpid()
        if ignoring:
            launch.GRACE_S = 3600.0  # if it were waited for, jobs would go on and finish

        def wait() -> None:
            if ignoring:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
            Path(f"{os.getpid()}.ready").touch()
            time.sleep(60)

        for seed in (0, 1):
            in_second_epoch(seed, wait)

        if os.fork() == 0:
            deadline = time.monotonic() + 60
            while len(list(Path().glob("*.ready"))) < 2 and time.monotonic() < deadline:
                time.sleep(0.05)
            for number in signals:
                os.kill(launcher, number)
                time.sleep(0.5)
            os._exit(0)

    return sweep("sweep", "seed=0,1,2", prepare=prepare)


def children_left() -> list[str]:
    """The ids of jobs that are still there."""
    return [file.stem for file in Path().glob("*.ready") if Path("/proc", file.stem).exists()]


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_then_completed(sent):
    code, _, said = interrupted_sweep(sent)
    assert code == 128 + sent, said
    assert "Traceback" not in said
    assert "To go on: transferlab resume sweep\n" in said
    assert statuses("sweep") == {0: "interrupted", 1: "interrupted"}
    assert children_left() == []
    assert sweep("sweep", "seed=0,1,2")[0] == 0
    assert statuses("sweep") == dict.fromkeys(range(3), "finished")


@pytest.mark.slow
def test_jobs_that_do_not_end_are_killed_when_asked_again():
    code, _, _ = interrupted_sweep(signal.SIGINT, signal.SIGINT, ignoring=True)
    assert code == 130
    assert statuses("sweep") == {0: "interrupted", 1: "interrupted"}
    assert children_left() == []


@pytest.mark.slow
def test_jobs_end_when_the_sweep_itself_is_killed():
    code, _, _ = interrupted_sweep(signal.SIGKILL)
    assert code == -signal.SIGKILL
    for _ in range(200):
        if not children_left() and "running" not in statuses("sweep").values():
            break
        time.sleep(0.05)
    assert children_left() == []
    assert statuses("sweep") == {0: "interrupted", 1: "interrupted"}


@pytest.mark.slow
def test_fresh_processes_leave_the_same_as_forked_ones():
    def forbid_forks() -> None:
        children.may_fork = lambda: False

    code, shown, _ = sweep("fresh", "seed=0,1", prepare=forbid_forks)
    assert code == 0, shown
    assert sweep("forked", "seed=0,1")[0] == 0
    for seed, run in runs("fresh").items():
        assert_same(str(run.path), str(runs("forked")[seed].path))
        choices = [
            json.loads((r.path / "environment.json").read_text())["choices"]
            for r in (run, runs("forked")[seed])
        ]
        assert choices[0] == choices[1]


@pytest.mark.slow
def test_jobs_on_two_devices_run_one_after_the_other():
    ddp = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.max_epochs=1"]
    code, shown, said = sweep("sweep", *ddp, "seed=0,1", "trainer.enable_progress_bar=true")
    assert code == 0, said
    assert shown.count("epoch   1/1") == 2
    assert statuses("sweep") == {0: "finished", 1: "finished"}
    for run in runs("sweep").values():
        assert run.predictions("test")["sample"].is_unique


@pytest.mark.slow
def test_hydras_own_launcher_runs_jobs_in_this_process():
    arguments = [*SWEEP, "hydra.sweep.dir=sweep", "hydra/launcher=basic", "seed=0,1"]
    assert command(arguments)[0] == 0
    assert statuses("sweep") == {0: "finished", 1: "finished"}
    assert Path("sweep/comparison.csv").is_file()
    code, shown, _ = command(arguments)
    assert code == 0
    assert shown.count("finished before, not run again") == 2


@pytest.mark.parametrize(
    ("value", "rule"), [("0", "at least 1, or auto"), ("many", "a whole number or auto"), ("true", "a whole")]
)
def test_how_many_at_once_is_a_number(value, rule):
    code, _, said = command([*SWEEP, f"hydra.launcher.jobs_at_once={value}", "seed=0,1"])
    assert code == 2
    assert f"hydra.launcher.jobs_at_once={value}: must be {rule}" in said


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (-9, "killed by SIGKILL"),
        (-40, "killed by signal 40"),  # a real-time signal: Python has no name for it
        (3, "its process ended with exit code 3 before the run had"),
    ],
)
def test_how_a_process_ended_is_said(code, said):
    assert launch._reason(code) == said
