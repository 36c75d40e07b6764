"""What every test shares."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: small tests on shared cores
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    """Each test works in an empty folder of its own, and reads nothing from the user's cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRANSFERLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONSAFEPATH", "")  # which the command sets for its process
    monkeypatch.delenv("PYTHONSAFEPATH")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real photos, digits and weights beside the checkout; tests that need them are marked `data`."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not there")
    return SHARED
