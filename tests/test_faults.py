"""`make faults`, each fault once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "faults.py"


@pytest.mark.slow
def test_each_fault_is_survived_once():
    done = subprocess.run([sys.executable, SCRIPT, "--quick"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split(" | ")[1:] for line in done.stdout.split("|---|")[1].splitlines()[1:] if "| " in line]
    assert len(rows) == 10
    assert all(row[-1] == "0 |" for row in rows)
    assert sum(row[0] == "1" for row in rows) >= 9  # a disk of its own to fill may not be possible
