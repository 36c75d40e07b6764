"""What the tests of configs share."""

from __future__ import annotations

from pathlib import Path

import pytest

from transferlab.config.compose import ConfigError, compose_checked


@pytest.fixture
def problems():
    """The problems of a config, in the words that a user reads."""

    def find(*overrides: str, **places) -> list[str]:
        try:
            compose_checked(list(overrides), **places)
        except ConfigError as error:
            return error.problems
        return []

    return find


@pytest.fixture
def write():
    """Write a file below the current folder, with its parents."""

    def put(name: str, text: str) -> Path:
        file = Path(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    return put
