"""What the tests of configs share."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from transferlab.config import config_files, resolvers
from transferlab.config.compose import ConfigError, compose_checked

PARTS = [
    "data/augmentation",
    "data/mixing",
    "data/loading",
    "data/catalog",
    "strategy/head",
    "strategy/unfreezing",
    "strategy/objective",
    "strategy/penalty",
    "strategy/learning_rates",
]
PLACES = {"data/loading": "data/loading@data", "data/catalog": "data/catalog@data.source"}


def nodes(config: DictConfig, path: str = ""):
    """Every node that names a class, with its path."""
    for key in config:
        node = config._get_node(key)
        if isinstance(node, DictConfig):
            full = f"{path}.{key}".lstrip(".")
            if "_target_" in node:
                yield (
                    full,
                    str(node._get_node("_target_")),
                    [str(name) for name in node if name != "_target_"],
                )
            yield from nodes(node, full)


@pytest.fixture(scope="session")
def shipped_nodes():
    """The nodes of configs that together choose every option of every group."""
    resolvers.register()
    options = config_files.options([config_files.shipped()])
    whole = [group for group in options if "/" not in group]
    found = []
    with initialize_config_dir(str(config_files.shipped()), version_base="1.3"):
        for groups in (whole, PARTS):
            for number in range(max(len(options[group]) for group in groups)):
                chosen = {group: options[group][min(number, len(options[group]) - 1)] for group in groups}
                chosen.pop("experiment", None)
                found += nodes(
                    compose("train", [f"{PLACES.get(group, group)}={name}" for group, name in chosen.items()])
                )
    return found


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
