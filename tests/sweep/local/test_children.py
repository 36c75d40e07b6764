"""Child processes: how they are started, how they end, and that nothing is left of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from transferlab.run import signals
from transferlab.run.run_folder import Run
from transferlab.sweep import run_jobs as running
from transferlab.sweep.job import Job
from transferlab.sweep.local import children
from transferlab.sweep.local.children import INTERRUPTED, NOTHING_DONE, Child

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]


def ended(child: Child) -> int:
    """The exit code of a child that is about to end."""
    for _ in range(1200):
        if (code := child.exit_code()) is not None:
            return code
        time.sleep(0.05)
    raise AssertionError("it still runs")


def is_there(pid: int) -> bool:
    """Whether a process runs; one that has ended, and that nobody has asked about, does not."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def gone(pid: int) -> bool:
    for _ in range(200):
        if not is_there(pid):
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def warm(monkeypatch):
    """Starts a forked child that does something else than a job."""

    def start(action, **named) -> Child:
        monkeypatch.setattr(running, "run_jobs", lambda jobs: action())
        given = {"warm": True, "log": None, "variables": {}, "threads": None}
        return children.start([], **{**given, **named})

    return start


def test_exit_codes(warm):
    assert ended(warm(lambda: True)) == 0
    assert ended(warm(lambda: False)) == NOTHING_DONE
    assert ended(warm(lambda: os._exit(5))) == 5
    assert ended(warm(lambda: os.kill(os.getpid(), signal.SIGKILL))) == -signal.SIGKILL


def test_output_environment_and_threads_of_a_child(warm):
    def action() -> bool:
        import torch

        print(os.environ["MINE"], torch.get_num_threads())
        os.system("echo from a program")
        return True

    Path("log.txt").write_text("before\n")
    child = warm(action, log=Path("log.txt"), variables={"MINE": "x"}, threads=3)
    assert ended(child) == 0
    lines = Path("log.txt").read_text().splitlines()
    assert lines[0] == "before"
    assert sorted(lines[1:]) == ["from a program", "x 3"]
    assert "MINE" not in os.environ


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_request_to_end_interrupts_a_child_even_if_its_parent_ignores_it(warm, sent):
    def action() -> bool:
        Path("ready").touch()
        time.sleep(60)
        return True

    before = signal.signal(sent, signal.SIG_IGN)
    try:
        child = warm(action)
    finally:
        signal.signal(sent, before)
    while not Path("ready").exists():
        time.sleep(0.01)
    if sent == signal.SIGINT:
        child.interrupt()
    else:
        os.kill(child.pid, sent)
    assert ended(child) == INTERRUPTED


def test_what_a_child_has_started_ends_with_it(warm):
    def action() -> bool:
        Path("pid").write_text(str(subprocess.Popen(SLEEPER).pid))
        os._exit(1)

    child = warm(action)
    assert ended(child) == 1
    pid = int(Path("pid").read_text())
    assert is_there(pid)
    child.sweep_up()
    assert gone(pid)


def test_killing_a_child_and_one_that_is_gone(warm):
    child = warm(lambda: time.sleep(60) or True)
    child.kill()
    assert ended(child) == -signal.SIGKILL
    child.kill()
    child.interrupt()
    child.sweep_up()


def test_requests_to_end_are_noted_for_a_while():
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    ignored = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    try:
        before = [signal.getsignal(number) for number in numbers]
        with signals.collected() as noted:
            for number in numbers:
                os.kill(os.getpid(), number)
        assert noted == [signal.SIGINT, signal.SIGTERM]
        assert [signal.getsignal(number) for number in numbers] == before
    finally:
        signal.signal(signal.SIGHUP, ignored)
        signal.signal(signal.SIGINT, inherited)


@pytest.mark.slow
def test_a_fresh_process_is_told_its_jobs():
    """With a config that cannot be built: the process gets as far as reading it."""
    config = OmegaConf.create(
        {"kind": "train", "seed": 0, "trainer": {"devices": 1}, "fit": {"keep_checkpoints": "last_and_best"}}
    )
    job = Job(config, Run(Path("run").resolve()), {"strategy": "x"}, [])
    child = children.start([job], warm=False, log=Path("log.txt"), variables={"MINE": "x"}, threads=None)
    assert ended(child) == 0
    assert job.run.status == "failed"
    assert "data" in job.run.result["error"]
    assert (job.run.path / "error.txt").is_file()
    assert "Error" in Path("log.txt").read_text()
