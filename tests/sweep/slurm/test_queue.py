"""What is read from the answers of squeue and scontrol."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from transferlab.sweep.slurm import queue as slurm_queue


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
    slurm["squeue"] = 0, "12_0|RUNNING|/a/s.sh\n12_1|PENDING|/a/s.sh\n13|COMPLETED|(null)\n", ""
    assert slurm_queue.job_states() == {"12_0": "RUNNING", "12_1": "PENDING", "13": "COMPLETED"}
    slurm["squeue"] = 0, "", ""
    assert slurm_queue.job_states() == {}


def test_states_of_the_jobs_that_were_submitted_from_a_folder(slurm):
    here = Path("a | b").resolve()
    slurm["squeue"] = 0, f"1|RUNNING|{here}/.x.sh\n2|RUNNING|/b/.x.sh\n3|RUNNING|(null)\n4|PENDING|\n", ""
    assert slurm_queue.job_states(Path("a | b")) == {"1": "RUNNING"}


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
