"""What tests of trainings share: runs that are trained once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training.processes import in_child
from transferlab.training import runs


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Callable[..., str]:
    """The folder of a finished run of these overrides, trained once for all tests: to be read only.

    Its cache is beside it, in a folder `cache`.
    """
    folders: dict[tuple[str, ...], Path] = {}

    def folder(*overrides: str) -> str:
        if overrides not in folders:
            place = tmp_path_factory.mktemp("trained")

            def train() -> None:
                os.environ["TRANSFERLAB_CACHE"] = str(place / "cache")
                runs.train([*overrides, f"hydra.run.dir={place / 'run'}"])

            assert in_child(train) == 0
            folders[overrides] = place / "run"
        return str(folders[overrides])

    return folder
