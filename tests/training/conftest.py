"""What tests of trainings share: runs that are trained once."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training.processes import in_child
from transferlab.training import runs


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Callable[..., str]:
    """The folder of a finished run of these overrides, trained once for all tests: to be read only.

    Once for all processes of pytest-xdist, too. The run's cache is beside it, in a folder `cache`.
    """
    own = tmp_path_factory.getbasetemp()
    root = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "trained"
    root.mkdir(exist_ok=True)

    def folder(*overrides: str) -> str:
        place = root / hashlib.sha256(repr(overrides).encode()).hexdigest()[:16]

        def train() -> None:
            os.environ["TRANSFERLAB_CACHE"] = str(place / "cache")
            runs.train([*overrides, f"hydra.run.dir={place / 'run'}"])

        with Path(f"{place}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not place.exists():
                assert in_child(train) == 0
        return str(place / "run")

    return folder
