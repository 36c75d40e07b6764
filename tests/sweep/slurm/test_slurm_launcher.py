"""Waiting for Slurm, told what its queue says: what is submitted or waited for, how ends are recorded."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from transferlab.run.errors import UserError
from transferlab.run.run_folder import Run
from transferlab.sweep.job import Job
from transferlab.sweep.slurm import queue as slurm_queue
from transferlab.sweep.slurm import slurm_launcher as slurm_launch
from transferlab.sweep.slurm.array import Submitted
from transferlab.sweep.slurm.slurm_settings import SlurmSettings

QUICK = SlurmSettings(poll_s=0.001)


def job(seed: int) -> Job:
    config = {
        "seed": seed,
        "strategy": {},
        "data": {},
        "fit": {},
        "trainer": {"devices": 1, "num_nodes": 1},
    }
    return Job(OmegaConf.create(config), Run(Path("sweep", f"seed={seed}")), {}, [])


def says(job: Job, status: str, **further: str) -> None:
    job.run.write_json("result.json", {"status": status, **further})


class Cluster:
    """A Slurm that answers from a list: at each look the next states, the last ones for ever.

    An answer may also be something to do first.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: list[Any] = []
        self.submitted: list[list[str]] = []
        self.after: list[str | None] = []
        self.cancelled: list[str] = []
        monkeypatch.setattr(slurm_queue, "job_states", self._states)
        monkeypatch.setattr(slurm_queue, "cancel", self.cancelled.extend)
        monkeypatch.setattr(slurm_queue, "most_tasks_of_an_array", lambda: None)
        monkeypatch.setattr(slurm_launch, "submit", self._submit)

    def _states(self, submitted_from: Path | None = None) -> dict[str, str] | None:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer() if callable(answer) else answer

    def _submit(
        self, groups: Sequence[Sequence[Job]], settings: Any, folder: Path, *, after: str | None
    ) -> list[Submitted]:
        array = 7 + len(self.submitted)
        self.submitted.append([job.run.path.name for group in groups for job in group])
        self.after.append(after)
        return [Submitted(f"{array}_{number}", group) for number, group in enumerate(groups)]


@pytest.fixture
def cluster(monkeypatch):
    return Cluster(monkeypatch)


def launch(*jobs: Job, settings: SlurmSettings = QUICK) -> None:
    slurm_launch.launch(jobs, settings, Path("sweep"))


def ends_as(state: str) -> Any:
    """Slurm's last word on each task of the array 7."""
    return dict.fromkeys(("7_0", "7_1", "7_2"), state)


@pytest.mark.parametrize(
    ("state", "left", "status", "error"),
    [
        ("CANCELLED", None, "interrupted", "Slurm's job 7_0 was cancelled"),
        ("CANCELLED", "running", "interrupted", "Slurm's job 7_0 was cancelled"),
        ("CANCELLED", "interrupted", "interrupted", "Slurm's job 7_0 was cancelled"),
        ("TIMEOUT", "running", "failed", "reached its time limit: raise hydra.launcher.timeout_min"),
        ("OUT_OF_MEMORY", "running", "failed", "ran out of memory: raise hydra.launcher.mem_gb"),
        ("NODE_FAIL", "running", "failed", "Slurm's job 7_0: its node failed"),
        ("FAILED", None, "failed", "Slurm's job 7_0 ended as FAILED before the run had ended"),
        ("COMPLETED", "running", "failed", "ended as COMPLETED before the run had ended"),
        ("FAILED", "failed", "failed", "its own words"),
        ("COMPLETED", "interrupted", "interrupted", "its own words"),
    ],
)
def test_how_an_end_is_recorded(cluster, state, left, status, error):
    one = job(0)
    own = {"error": "its own words"} if error == "its own words" else {}

    def ran() -> dict[str, str]:
        if left is not None:
            says(one, left, **own)
        return ends_as("RUNNING")

    cluster.answers = [ran, ends_as(state)]
    launch(one)
    assert one.run.status == status
    assert error in one.run.result["error"]


def test_a_job_that_slurm_forgets_has_ended(cluster):
    one = job(0)
    cluster.answers = [ends_as("RUNNING"), {}]
    launch(one)
    assert one.run.result["error"] == "Slurm's job 7_0 left the queue before the run had ended"


def test_an_end_is_believed_when_it_is_seen_twice(cluster, capsys):
    """A node has failed, and its job is in the queue again."""
    one = job(0)
    cluster.answers = [
        ends_as("RUNNING"),
        ends_as("NODE_FAIL"),
        ends_as("PENDING"),
        ends_as("PENDING"),
        ends_as("NODE_FAIL"),
        None,  # no answer says nothing
        ends_as("RUNNING"),
        lambda: says(one, "finished") or ends_as("COMPLETED"),
    ]
    launch(one)
    assert one.run.result == {"status": "finished"}
    shown = capsys.readouterr().out
    assert shown.count("waits in the queue again: seed=0\n") == 1
    assert "finished: seed=0  " in shown
    assert "(1 of 1)" in shown


def test_finished_runs_are_not_submitted(cluster, capsys):
    jobs = [job(0), job(1)]
    says(jobs[0], "finished")
    cluster.answers = [lambda: says(jobs[1], "finished") or {}]
    launch(*jobs)
    assert cluster.submitted == [["seed=1"]]
    assert "1 of 2 finished before, not run again\n1 submitted to Slurm: 7; what" in capsys.readouterr().out
    cluster.submitted.clear()
    launch(*jobs)
    assert cluster.submitted == []


def test_jobs_from_before_are_waited_for(cluster, capsys):
    jobs = [job(seed) for seed in range(4)]
    folder = Path("sweep/slurm")
    folder.mkdir(parents=True)
    (folder / "runs_of_5.json").write_text(json.dumps({"5_0": ["seed=0"], "5_1": ["seed=1"]}))
    (folder / "runs_of_6.json").write_text(json.dumps({"6": ["seed=2", "seed=9"]}))

    def done() -> dict[str, str]:
        for each in jobs:
            says(each, "finished")
        return {}

    cluster.answers = [None, {"5_0": "PENDING", "5_1": "FAILED", "6": "RUNNING"}, done]
    launch(*jobs)
    assert cluster.submitted == [["seed=1", "seed=3"]]
    shown = capsys.readouterr().out
    assert "squeue does not answer; asked again\nSlurm has 2 from before: 5 6\n2 submitted" in shown


@pytest.mark.parametrize(
    ("at_once", "after"), [("auto", [None, None, None]), (2, [None, "7", "8"])], ids=["auto", "limited"]
)
def test_what_an_array_can_not_hold_goes_into_further_ones(cluster, monkeypatch, capsys, at_once, after):
    monkeypatch.setattr(slurm_queue, "most_tasks_of_an_array", lambda: 2)
    jobs = [job(seed) for seed in range(5)]

    def done() -> dict[str, str]:
        for each in jobs:
            says(each, "finished")
        return {}

    cluster.answers = [done]
    launch(*jobs, settings=SlurmSettings(poll_s=0.001, jobs_at_once=at_once))
    assert cluster.submitted == [["seed=0", "seed=1"], ["seed=2", "seed=3"], ["seed=4"]]
    assert cluster.after == after
    assert "5 submitted to Slurm: 7 8 9; what" in capsys.readouterr().out


def test_an_array_that_is_refused_leaves_the_others(cluster, monkeypatch):
    monkeypatch.setattr(slurm_queue, "most_tasks_of_an_array", lambda: 1)
    jobs = [job(0), job(1)]

    def submit(groups: Sequence[Sequence[Job]], *arguments: Any, after: str | None) -> list[Submitted]:
        if groups[0][0].run.path.name == "seed=1":
            raise UserError("Slurm refuses the jobs: too many")
        return [Submitted("7", groups[0])]

    monkeypatch.setattr(slurm_launch, "submit", submit)
    cluster.answers = [lambda: says(jobs[0], "finished") or {}]
    launch(*jobs)
    assert [each.run.status for each in jobs] == ["finished", "failed"]
    assert jobs[1].run.result["error"] == "Slurm refuses the jobs: too many"


def ctrl_c() -> dict[str, str]:
    os.kill(os.getpid(), signal.SIGINT)
    return ends_as("RUNNING")


@pytest.fixture
def _ctrl_c_is_heard():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c_is_heard")
def test_after_ctrl_c_jobs_go_on(cluster, capsys):
    jobs = [job(0), job(1)]
    cluster.answers = [ctrl_c]
    with pytest.raises(KeyboardInterrupt):
        launch(*jobs)
    assert "Slurm goes on with 2; to end them: scancel 7\n" in capsys.readouterr().out
    assert cluster.cancelled == []
    assert not Path("sweep").exists()


@pytest.mark.usefixtures("_ctrl_c_is_heard")
def test_after_ctrl_c_jobs_are_cancelled_if_so_wished(cluster):
    jobs = [job(0), job(1)]
    says(jobs[1], "finished")
    cluster.answers = [ctrl_c]
    with pytest.raises(KeyboardInterrupt):
        launch(*jobs, settings=SlurmSettings(poll_s=0.001, cancel_on_interrupt=True))
    assert cluster.cancelled == ["7_0"]
    assert [each.run.status for each in jobs] == ["interrupted", "finished"]


def test_what_slurm_refuses_is_recorded(cluster, monkeypatch):
    def refuse(*arguments: Any, after: str | None) -> None:
        raise UserError("Slurm refuses the jobs: no such partition")

    monkeypatch.setattr(slurm_launch, "submit", refuse)
    jobs = [job(0), job(1)]
    launch(*jobs)
    assert [each.run.result for each in jobs] == [
        {"status": "failed", "error": "Slurm refuses the jobs: no such partition"}
    ] * 2


def test_a_job_that_does_not_fit_leaves_the_others(cluster):
    jobs = [job(0), job(1)]
    jobs[0].config.trainer.num_nodes = 2
    cluster.answers = [lambda: says(jobs[1], "finished") or {}]
    launch(*jobs)
    assert cluster.submitted == [["seed=1"]]
    assert jobs[0].run.result["error"].endswith("set trainer.num_nodes=1.")
