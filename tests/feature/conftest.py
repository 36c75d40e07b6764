"""Shards as small as the features of tests."""

from __future__ import annotations

import pytest

from tests.feature.stored import WIDTH
from transferlab.feature import shard


@pytest.fixture
def small_shards(monkeypatch):
    """Four rows are a full shard."""
    monkeypatch.setattr(shard, "MOST_BYTES", 4 * WIDTH * 4)
