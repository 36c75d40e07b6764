"""What is read from the answers of squeue and scontrol."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from transferlab.run.errors import UserError
from transferlab.run.run_folder import Run
from transferlab.sweep.job import Job
from transferlab.sweep.slurm import queue as slurm_queue
from transferlab.sweep.slurm.queue import submit, submitted_before
from transferlab.sweep.slurm.slurm_settings import SlurmSettings


@pytest.fixture
def slurm(monkeypatch):
    """Lets each command of Slurm answer this, by its name; None: not in time."""
    answers: dict[str, tuple[int, str, str] | None] = {}

    def run(command: Sequence[str], *, timeout: float, **further: Any) -> subprocess.CompletedProcess[str]:
        answer = answers[command[0]]
        if answer is None:
            raise subprocess.TimeoutExpired(command, timeout)
        return subprocess.CompletedProcess(command, answer[0], stdout=answer[1], stderr=answer[2])

    monkeypatch.setattr(slurm_queue.subprocess, "run", run)
    return answers


def test_states_by_id(slurm):
    slurm["squeue"] = 0, "12_0|RUNNING\n12_1|PENDING\n13|COMPLETED\n", ""
    assert slurm_queue.job_states() == {"12_0": "RUNNING", "12_1": "PENDING", "13": "COMPLETED"}
    slurm["squeue"] = 0, "", ""
    assert slurm_queue.job_states() == {}


@pytest.mark.parametrize("answer", [None, (1, "", "Unable to contact slurm controller")])
def test_no_answer_is_not_an_empty_queue(slurm, answer):
    slurm["squeue"] = answer
    assert slurm_queue.job_states() is None
    assert slurm_queue.state_of("12_0") is None


def test_the_state_of_one(slurm):
    slurm["squeue"] = 0, "RUNNING\n", ""
    assert slurm_queue.state_of("12_0") == "RUNNING"
    slurm["squeue"] = 0, "", ""
    assert slurm_queue.state_of("12_0") is None


def test_what_slurm_has_against_a_requeue(slurm):
    slurm["scontrol"] = 0, "", ""
    assert slurm_queue.requeue("12_0") is None
    slurm["scontrol"] = 1, "", "Access denied\n"
    assert slurm_queue.requeue("12_0") == "Access denied"
    slurm["scontrol"] = None
    assert slurm_queue.requeue("12_0") == "Slurm does not answer"


@pytest.mark.parametrize(
    ("answer", "most"),
    [
        ((0, "MailProg = /bin/mail\nMaxArraySize            = 1001\nMaxBatchRequeue = 5\n", ""), 1001),
        ((0, "MaxArraySize            = 0\n", ""), 1),
        ((0, "OldMaxArraySize = 3\n", ""), None),
        ((1, "", "Unable to contact slurm controller"), None),
        (None, None),
    ],
)
def test_how_many_tasks_an_array_may_have(slurm, answer, most):
    slurm["scontrol"] = answer
    assert slurm_queue.most_tasks_of_an_array() == most


FOLDER = Path("sweep/slurm")


@pytest.fixture
def sbatch(monkeypatch):
    """Lets sbatch do this; it is told the file of the batch script."""

    def does(line: str) -> None:
        Path("bin").mkdir()
        for name in ("sbatch", "srun"):
            Path("bin", name).write_text(f"#!/bin/sh\n{line}\n")
            Path("bin", name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{Path('bin').resolve()}:{os.environ['PATH']}")

    return does


def groups(*seeds: int) -> list[list[Job]]:
    return [[Job(OmegaConf.create({"seed": seed}), Run(f"sweep/seed={seed}"), {}, [])] for seed in seeds]


def test_an_array_and_who_is_which_task(sbatch):
    sbatch('cat "$1" > script; echo "Submitted batch job 12"')
    first, second = groups(0, 1)
    second += groups(2)[0]
    found = submit([first, second], SlurmSettings(jobs_at_once=1), FOLDER)
    assert [(one.job_id, one.jobs) for one in found] == [("12_0", first), ("12_1", second)]
    assert submitted_before(FOLDER) == {"12_0": ["seed=0"], "12_1": ["seed=1", "seed=2"]}
    lines = Path("script").read_text().splitlines()
    assert "#SBATCH --array=0-1%1" in lines
    assert not any("--dependency" in line for line in lines)


def test_after_another_one(sbatch):
    sbatch('cat "$1" > script; echo "Submitted batch job 13"')
    (found,) = submit(groups(3), SlurmSettings(), FOLDER, after="12")
    assert found.job_id == "13"
    assert "#SBATCH --dependency=afterany:12" in Path("script").read_text().splitlines()


def test_what_was_submitted_before_is_kept(sbatch):
    assert submitted_before(FOLDER) == {}
    FOLDER.mkdir(parents=True)
    (FOLDER / "runs_of_7.json").write_text('{"7": ["seed=0"]}')
    sbatch('echo "Submitted batch job 12"')
    submit(groups(1), SlurmSettings(), FOLDER)
    assert submitted_before(FOLDER) == {"7": ["seed=0"], "12": ["seed=1"]}


def test_a_refusal(sbatch):
    sbatch("echo 'sbatch: error: invalid partition' >&2; exit 1")
    with pytest.raises(UserError, match=r"^Slurm refuses the jobs: sbatch: error: invalid partition"):
        submit(groups(0, 1), SlurmSettings(), FOLDER)
    assert submitted_before(FOLDER) == {}
