"""The shipped YAML is the schema: it lists what the classes take, and nothing that is not allowed."""

from __future__ import annotations

import inspect
from importlib import import_module

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from transferlab.config import places, resolvers
from transferlab.config.allowed import ALLOWED, is_allowed
from transferlab.config.check import GIVEN
from transferlab.config.domain_rules import NEEDS_TARGET
from transferlab.config.signature import signature

FILES = sorted(places.shipped().rglob("*.yaml"))
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


@pytest.fixture(scope="module")
def shipped_nodes():
    """The nodes of configs that together choose every option of every group."""
    resolvers.register()
    options = places.options([places.shipped()])
    whole = [group for group in options if "/" not in group]
    found = []
    with initialize_config_dir(str(places.shipped()), version_base="1.3"):
        for groups in (whole, PARTS):
            for number in range(max(len(options[group]) for group in groups)):
                chosen = {group: options[group][min(number, len(options[group]) - 1)] for group in groups}
                chosen.pop("experiment", None)
                found += nodes(
                    compose("train", [f"{PLACES.get(group, group)}={name}" for group, name in chosen.items()])
                )
    return found


def test_every_group_is_looked_at():
    assert {group for group in places.options([places.shipped()]) if "/" in group} == set(PARTS)


def test_yaml_lists_exactly_what_each_class_takes(shipped_nodes):
    for path, target, keys in shipped_nodes:
        taken = set(signature(target).arguments) - GIVEN.get(target, frozenset())
        if path == "strategy":
            taken -= {"penalty"} - set(keys)  # penalty=[] leaves no key behind
        assert set(keys) == taken, f"{path} ({target})"


def test_what_is_allowed_is_what_the_configs_name(shipped_nodes):
    assert sorted({target for _, target, _ in shipped_nodes}) == sorted(ALLOWED)
    assert sorted(ALLOWED) == list(ALLOWED)


def test_each_target_is_named_in_full():
    assert not is_allowed("transferlab.strategy.objective.dann")
    assert not is_allowed("transferlab")
    assert is_allowed("mine.X", ["mine"])
    assert is_allowed("mine.inner.X", ["mine"])
    assert not is_allowed("mineral.X", ["mine"])
    assert not is_allowed("os.system", ["o"])


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(places.shipped())))
def test_every_file_says_what_it_is(file):
    lines = [line for line in file.read_text().splitlines() if not line.startswith("# @package")]
    assert lines[0].startswith("# ")
    yaml.safe_load(file.read_text())


@pytest.mark.parametrize("option", [file.stem for file in FILES if file.parent.name == "experiment"])
def test_every_experiment_composes(option, problems):
    for problem in problems(f"experiment={option}"):
        assert " has no value. Set it: data." in problem  # where the user's data is


def test_source_and_import_agree_on_every_signature():
    for target in ALLOWED:
        module, _, name = target.rpartition(".")
        taken = inspect.signature(getattr(import_module(module), name)).parameters
        read = signature(target)
        assert list(read.arguments) == list(taken), target
        assert {name for name, argument in read.arguments.items() if argument.required} == {
            name for name, parameter in taken.items() if parameter.default is parameter.empty
        }, target


def test_objectives_that_need_a_target_are_known():
    needing = set()
    for target in ALLOWED:
        if ".objective." in target:
            module, _, name = target.rpartition(".")
            if getattr(import_module(module), name).uses_target:
                needing.add(target)
    assert needing == NEEDS_TARGET
