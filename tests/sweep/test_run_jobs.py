"""What a process of a sweep does with a run folder, whatever it finds there."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf

from tests.sweep.local.test_local_launcher import comparison, runs, statuses
from tests.training.processes import command, in_child
from tests.training.test_resume import assert_same
from transferlab.data.loading import workers
from transferlab.run.errors import UserError
from transferlab.run.run_folder import Run
from transferlab.sweep import run_jobs as running
from transferlab.sweep.job import Job, failure_recorded
from transferlab.sweep.run_jobs import keep_threads, members_of, run_jobs
from transferlab.training import runs as trainings


@pytest.fixture
def job() -> Job:
    return Job(
        OmegaConf.create({"seed": 0}), Run(Path("sweep/job").resolve()), {"data": "digits"}, ["a note"]
    )


@pytest.fixture
def asked(monkeypatch):
    """What is run instead of a training: each time, whether it goes on, and which files there are."""
    found = []

    def run_in(config, run, *, choices, warnings, resume) -> None:
        assert (choices, warnings) == ({"data": "digits"}, ["a note"])
        found.append((resume, sorted(file.name for file in run.path.iterdir())))
        run.write_json("result.json", {"status": "finished"})

    monkeypatch.setattr(running, "run_in", run_in)
    return found


def leave(run: Run, *names: str) -> None:
    for name in names:
        file = run.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text('{"members": ["job"]}' if name == "group.json" else "{}")


def test_a_new_job(job, asked):
    assert run_jobs([job])
    assert asked == [(False, [".lock"])]


def test_traces_of_an_attempt_that_never_began(job, asked):
    leave(job.run, "result.json", "error.txt", "log.txt")
    assert run_jobs([job])
    assert asked == [(False, [".lock", "log.txt"])]


def test_a_job_that_was_cut_short(job, asked):
    leave(job.run, "config.yaml", "result.json", "checkpoints/last.ckpt")
    assert run_jobs([job])
    assert asked == [(True, [".lock", "checkpoints", "config.yaml", "result.json"])]


def test_a_job_whose_group_is_no_more(job, asked):
    leave(job.run, "config.yaml", "environment.json", "result.json", "group.json", "predictions/test.csv")
    assert run_jobs([job])
    assert asked == [(False, [".lock"])]


def test_a_folder_with_something_else_in_it(job, asked, capsys):
    leave(job.run, "holiday.jpg")
    assert not run_jobs([job])
    assert asked == []
    assert (job.run.path / "holiday.jpg").is_file()
    assert "is not empty" in capsys.readouterr().err


def test_a_folder_in_use_is_left_to_whoever_uses_it(job, asked, capfd):
    leave(job.run, "config.yaml")
    job.run.write_json("result.json", {"status": "running"})

    def meet() -> None:
        assert not run_jobs([job])

    with job.run.locked():
        assert in_child(meet) == 0
    assert job.run.recorded_status == "running"
    assert "in use by another process" in capfd.readouterr().err


@pytest.mark.parametrize(("recorded", "expected"), [(2, 2), (64, 3), (None, 1)])
def test_a_run_goes_on_with_the_threads_it_began_with(job, monkeypatch, recorded, expected):
    monkeypatch.setattr(workers, "all_cores", lambda: 3)
    monkeypatch.setenv(workers.SHARE, "1")
    job.run.path.mkdir(parents=True)
    if recorded is not None:
        job.run.write_json("environment.json", {"threads": recorded})

    def go_on() -> None:
        torch.set_num_threads(1)
        keep_threads(job.run)
        assert torch.get_num_threads() == expected

    assert in_child(go_on) == 0


def runs_of(*statuses: str) -> list[Run]:
    found = []
    for position, status in enumerate(statuses):
        run = Run(f"run{position}")
        run.path.mkdir()
        run.write_json("result.json", {"status": status, "error": "before"})
        found.append(run)
    return found


def test_an_error_is_recorded_with_all_that_have_not_ended_otherwise(capsys):
    found = runs_of("running", "finished", "failed", "interrupted", "running")
    with failure_recorded(found):
        found[4].write_json("result.json", {"status": "failed", "error": "its own"})
        raise UserError("no such data")
    assert [run.result["error"] for run in found] == [
        "no such data",
        "before",
        "no such data",
        "no such data",
        "its own",
    ]
    assert [run.status for run in found] == ["failed", "finished", "failed", "failed", "failed"]
    assert capsys.readouterr().err == "no such data\n"
    assert not list(Path().glob("*/error.txt"))


def test_a_fault_leaves_its_trace(capsys):
    found = runs_of("running", "finished")
    with failure_recorded(found):
        raise KeyError
    assert found[0].result["error"] == "KeyError"
    assert "raise KeyError" in (found[0].path / "error.txt").read_text()
    assert not (found[1].path / "error.txt").exists()
    assert "error.txt" in capsys.readouterr().err


def test_an_interrupt_passes():
    found = runs_of("running")
    with pytest.raises(KeyboardInterrupt), failure_recorded(found):
        raise KeyboardInterrupt
    assert found[0].recorded_status == "running"


HEADS = [
    *(
        "train",
        "-m",
        "strategy=feature_extraction",
        "strategy/head=linear",
        "features.cache=auto",
        "data.shots_per_class=4",
    ),
    *("data.shots_seed=0", "data.batch_size=8", "trainer.max_epochs=2", "trainer.enable_progress_bar=false"),
    "strategy.learning_rates.base=0.01",
]


def sweep(folder: str, *further: str, prepare=lambda: None) -> tuple[int, str, str]:
    return command([*HEADS, f"hydra.sweep.dir={folder}", *further], prepare=prepare)


def die_after_the_first() -> None:
    """Let a group's process kill itself when its first member has finished."""
    original = trainings.run_together

    def some(members) -> None:
        original(members[:1])
        os.kill(os.getpid(), signal.SIGKILL)

    trainings.run_together = some


def untouched(folder: str) -> dict[int, int]:
    """When each run has written its result, by seed."""
    return {seed: (run.path / "result.json").stat().st_mtime_ns for seed, run in runs(folder).items()}


def test_a_group_is_one_process_recorded_with_each_member():
    code, shown, said = sweep("sweep", "seed=0,1,2")
    assert code == 0, said
    members = [run.path.name for run in runs("sweep").values()]
    assert f"\n{members[0]} and 2 more together\n" in shown
    for run in runs("sweep").values():
        assert json.loads((run.path / "group.json").read_text()) == {"members": members}
        assert [member.path.name for member in members_of(run)] == members
        assert run.status == "finished"
        assert (run.path / "environment.json").is_file()


@pytest.mark.slow
def test_a_killed_group_is_recorded_and_run_again_as_a_whole():
    assert sweep("alone", "seed=0,1")[0] == 0
    code, shown, _ = sweep("killed", "seed=0,1", prepare=die_after_the_first)
    assert code == 1
    assert statuses("killed") == {0: "finished", 1: "failed"}
    assert runs("killed")[1].result["error"] == "killed by SIGKILL"
    assert "1 finished, 1 failed: " in shown

    before = untouched("killed")
    assert sweep("killed", "seed=0,1")[0] == 0
    assert all(before[seed] != after for seed, after in untouched("killed").items())
    for seed, run in runs("alone").items():
        assert_same(str(runs("killed")[seed].path), str(run.path))
    pd.testing.assert_frame_equal(comparison("killed"), comparison("alone"))

    before = untouched("killed")
    code, shown, _ = sweep("killed", "seed=0,1,2")
    assert code == 0
    assert "2 of 3 finished before" in shown
    assert before.items() <= untouched("killed").items()
    assert members_of(runs("killed")[2]) == []


@pytest.mark.slow
def test_resume_of_a_member_runs_the_group_again():
    assert sweep("sweep", "seed=0,1", prepare=die_after_the_first)[0] == 1
    finished, failed = runs("sweep").values()
    code, shown, _ = command(["resume", str(finished.path)])
    assert code == 0
    assert f"one that trains with it has not: transferlab resume {failed.path}\n" in shown
    assert failed.status == "failed"
    before = untouched("sweep")
    code, shown, said = command(["resume", str(failed.path)])
    assert code == 0, said
    assert shown.splitlines()[-1] == str(failed.path)
    assert statuses("sweep") == {0: "finished", 1: "finished"}
    assert all(before[seed] != after for seed, after in untouched("sweep").items())


@pytest.mark.slow
def test_a_failing_member_leaves_the_others():
    rates = "strategy.learning_rates.base=3.0e+38,1.0e-2"  # more than a float holds, after two steps
    code, shown, _ = sweep("sweep", rates, "strategy.learning_rates.schedule=constant", "seed=0")
    assert code == 1
    found = [Run(file.parent) for file in Path("sweep").glob("*/config.yaml")]
    assert sorted(run.status for run in found) == ["failed", "finished"]
    assert "1 failed, 1 finished: " in shown
    assert all(len(members_of(run)) == 2 for run in found)


@pytest.mark.slow
def test_members_that_are_not_asked_for_are_run_again_too():
    assert sweep("sweep", "seed=0,1", prepare=die_after_the_first)[0] == 1
    code, shown, _ = sweep("sweep", "seed=1")
    assert code == 0
    assert "and 1 more together" in shown
    assert statuses("sweep") == {0: "finished", 1: "finished"}


@pytest.mark.slow
def test_a_group_that_is_no_more_is_run_anew_job_by_job():
    assert sweep("sweep", "seed=0,1", prepare=die_after_the_first)[0] == 1
    (kept,) = [run for run in runs("sweep").values() if run.status == "finished"]
    before = (kept.path / "result.json").stat().st_mtime_ns
    code, shown, _ = sweep("sweep", "seed=0,1", "features.cache=off")
    assert code == 0
    assert "together" not in shown
    assert (kept.path / "result.json").stat().st_mtime_ns == before
    assert statuses("sweep") == {0: "finished", 1: "finished"}
    assert not (runs("sweep")[1].path / "group.json").exists()
