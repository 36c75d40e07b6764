"""What a process of a sweep does with a run folder, whatever it finds there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from tests.training.processes import in_child
from transferlab.data.loading import workers
from transferlab.run.errors import UserError
from transferlab.run.run_folder import Run
from transferlab.sweep import run_jobs as running
from transferlab.sweep.job import Job, failure_recorded
from transferlab.sweep.run_jobs import keep_threads, run_jobs


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
    assert job.run.result == {"status": "running"}
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


def runs(*statuses: str) -> list[Run]:
    found = []
    for position, status in enumerate(statuses):
        run = Run(f"run{position}")
        run.path.mkdir()
        run.write_json("result.json", {"status": status, "error": "before"})
        found.append(run)
    return found


def test_an_error_is_recorded_with_all_that_have_not_ended_otherwise(capsys):
    found = runs("running", "finished", "failed", "interrupted", "running")
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
    found = runs("running", "finished")
    with failure_recorded(found):
        raise KeyError
    assert found[0].result["error"] == "KeyError"
    assert "raise KeyError" in (found[0].path / "error.txt").read_text()
    assert not (found[1].path / "error.txt").exists()
    assert "error.txt" in capsys.readouterr().err


def test_an_interrupt_passes():
    found = runs("running")
    with pytest.raises(KeyboardInterrupt), failure_recorded(found):
        raise KeyboardInterrupt
    assert found[0].status == "running"
