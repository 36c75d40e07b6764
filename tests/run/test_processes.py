"""The processes of one run."""

from __future__ import annotations

import pytest

from transferlab.run.processes import is_worker


@pytest.mark.parametrize(
    ("variables", "worker"),
    [
        ({}, False),
        ({"LOCAL_RANK": "0", "NODE_RANK": "0"}, False),
        ({"LOCAL_RANK": "1", "NODE_RANK": "0"}, True),
        ({"LOCAL_RANK": "0", "NODE_RANK": "1"}, True),  # the first process of another machine
        ({"LOCAL_RANK": "0", "RANK": "4"}, True),  # the same, started by torchrun
    ],
)
def test_the_first_process_of_the_first_machine_leads(monkeypatch, variables, worker):
    for name in ("RANK", "NODE_RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_worker() == worker
