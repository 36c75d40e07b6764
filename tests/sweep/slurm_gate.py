"""Sweeps on a real Slurm, in the background; their trainings wait at a gate until they are let through."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from transferlab.run.run_folder import Run

COMMAND = [sys.executable, "-m", "transferlab"]
SLURM = [
    *("hydra/launcher=slurm", "hydra.launcher.poll_s=0.5", "hydra.launcher.cpus_per_task=1"),
    *("hydra.launcher.mem_gb=null", "hydra.launcher.timeout_min=20"),
]
# 3 epochs of 5 steps, and no checkpoint within an epoch but by request
TINY = [
    "strategy=fine_tune",
    *("backbone=timm", "backbone.name=test_resnet", "backbone.weights=random", "data.shots_per_class=4"),
    *("data.batch_size=8", "trainer.max_epochs=3", "trainer.enable_progress_bar=false"),
    "fit.checkpoint_every_minutes=null",
]
STEPS = 15
GATE = """
import time
from pathlib import Path

from transferlab.strategy.objective.cross_entropy import CrossEntropy
from transferlab.run import signals


class Gate(CrossEntropy):
    'Waits at each of these steps, once, until it is let through or its process is to end.'

    def __init__(self, *, name: str, at: list[int]) -> None:
        super().__init__()
        self.name, self.at = name, at

    def losses(self, network, batch, progress):
        step = round(progress * 15)
        here = Path(f"{self.name}.{step}")
        if step in self.at and not here.exists():
            here.touch()
            while not Path(f"{self.name}.open").exists() and signals.received() is None:
                time.sleep(0.05)
        with Path(f"{self.name}.steps").open("a") as steps:
            steps.write(f"{step}\\n")
        return super().losses(network, batch, progress)
"""
GATED = [*TINY, "strategy/objective=gate", "allow=[gate]"]


@contextlib.contextmanager
def sweep(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A sweep in the background; what is left of it afterwards is ended."""
    running = subprocess.Popen(
        [*COMMAND, "train", "-m", *SLURM, "hydra.sweep.dir=sweep", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job ignores it
    )
    try:
        yield running
    finally:
        if running.poll() is None:
            running.kill()
            running.communicate()
        if ids := list(submitted()):
            slurm("scancel", *ids)


def ended(running: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and output of a sweep, when it has ended."""
    shown, _ = running.communicate(timeout=500)
    return running.returncode, shown


def until(condition: Callable[[], object], running: subprocess.Popen[str]) -> None:
    """Wait for something that a sweep in the background is to bring about."""
    deadline = time.monotonic() + 300
    while not condition():
        assert running.poll() is None, running.communicate()[0]
        assert time.monotonic() < deadline, logs()
        time.sleep(0.1)


def slurm(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def submitted() -> dict[str, list[str]]:
    """The run folders of each job that has been submitted."""
    found: dict[str, list[str]] = {}
    for file in sorted(Path("sweep/slurm").glob("runs_of_*.json")):
        found |= json.loads(file.read_text())
    return found


def logs() -> str:
    return "\n".join(file.read_text() for file in sorted(Path("sweep/slurm").glob("*_log.out")))


def runs() -> list[Run]:
    return [Run(file.parent) for file in sorted(Path("sweep").glob("*/result.json"))]


def steps(name: str = "a") -> list[int]:
    return [int(line) for line in Path(f"{name}.steps").read_text().splitlines()]
