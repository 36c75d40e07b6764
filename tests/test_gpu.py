"""`make gpu` without a GPU: it says so; its bench works with tiny sizes on the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NO_GPU = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}


def run(*command: str) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, *command]
    return subprocess.run(arguments, cwd=ROOT, env=NO_GPU, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("script", ["scripts/gpu.py", "benchmarks/gpu.py"])
def test_without_a_gpu_nothing_is_claimed(script):
    done = run(script)
    assert done.returncode == 2
    assert done.stdout.startswith("skipped: no CUDA device")
    assert "Fix: " in done.stdout


@pytest.mark.slow
def test_the_bench_measures_every_row():
    done = run("benchmarks/gpu.py", "--tiny", "--rounds", "1")
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.partition("|---|")[2].splitlines()[1:]]
    named = [row for row in rows if len(row) >= 5]
    assert [row[0].split(" of ")[0].split(",")[0] for row in named] == [
        *("training test_resnet", "training test_resnet", "training test_vit", "training test_vit"),
        *("frozen forward", "frozen forward", "partial", "partial"),
    ]
    assert all(float(row[4].strip("*")) > 0 for row in named)
    assert "CPU, tiny sizes: figures mean nothing" in done.stdout
