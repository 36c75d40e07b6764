"""The shipped YAML is the schema: it lists what the classes take, and nothing that is not allowed."""

from __future__ import annotations

import inspect
from importlib import import_module

import pytest
import yaml

from tests.config.conftest import PARTS
from transferlab.config import config_files
from transferlab.config.classes import GIVEN, is_allowed, shipped_places, shipped_targets
from transferlab.config.compose import compose_checked
from transferlab.config.signature import signature

FILES = sorted(config_files.shipped().rglob("*.yaml"))


def test_every_group_is_looked_at():
    assert {group for group in config_files.options([config_files.shipped()]) if "/" in group} == set(PARTS)


def test_yaml_lists_exactly_what_each_class_takes(shipped_nodes):
    for path, target, keys in shipped_nodes:
        taken = set(signature(target).arguments) - GIVEN.get(target, frozenset())
        if path == "strategy":
            taken -= {"penalty"} - set(keys)  # penalty=[] leaves no key behind
        assert set(keys) == taken, f"{path} ({target})"


def test_what_is_allowed_is_what_the_configs_name(shipped_nodes):
    assert {target for _, target, _ in shipped_nodes} == shipped_targets()


def test_a_config_of_the_users_widens_nothing(write):
    write("conf/strategy/mine.yaml", "_target_: os.system\n")
    shipped_places.cache_clear()
    shipped_targets.cache_clear()
    assert "os.system" not in shipped_targets()
    assert not any(target.startswith("hydra") for target in shipped_targets())


def test_each_target_is_named_in_full():
    assert not is_allowed("transferlab.strategy.objective.dann")
    assert not is_allowed("transferlab")
    assert is_allowed("mine.X", ["mine"])
    assert is_allowed("mine.inner.X", ["mine"])
    assert not is_allowed("mineral.X", ["mine"])
    assert not is_allowed("os.system", ["o"])


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(config_files.shipped())))
def test_every_file_says_what_it_is(file):
    lines = [line for line in file.read_text().splitlines() if not line.startswith("# @package")]
    assert lines[0].startswith("# ")
    yaml.safe_load(file.read_text())


@pytest.mark.parametrize("option", [file.stem for file in FILES if file.parent.name == "experiment"])
def test_every_experiment_composes(option, problems):
    for problem in problems(f"experiment={option}"):
        assert " has no value. Set it: data." in problem  # where the user's data is


def test_source_and_import_agree_on_every_signature():
    for target in shipped_targets():
        module, _, name = target.rpartition(".")
        taken = inspect.signature(getattr(import_module(module), name)).parameters
        read = signature(target)
        assert list(read.arguments) == list(taken), target
        assert {name for name, argument in read.arguments.items() if argument.required} == {
            name for name, parameter in taken.items() if parameter.default is parameter.empty
        }, target
        for name, argument in read.arguments.items():
            assert argument.default is ... or argument.default == taken[name].default, f"{target}: {name}"


def test_source_and_import_agree_on_every_fact():
    num_facts = 0
    for target in shipped_targets():
        module, _, name = target.rpartition(".")
        imported = getattr(import_module(module), name)
        facts = signature(target).facts
        for fact, value in facts.items():
            assert getattr(imported, fact) == value, f"{target}: {fact}"
            num_facts += 1
        own = [
            base for base in getattr(imported, "__mro__", ()) if base.__module__.startswith("transferlab.")
        ]
        annotated = [item for base in own for item in inspect.get_annotations(base).items()]
        assert {name for name, kind in annotated if "ClassVar" in str(kind)} <= set(facts), target
    assert num_facts > 50


def test_a_key_that_is_left_out_has_its_default():
    """As in the record of an earlier version; the code reads it from the config."""
    config = compose_checked(["~backbone.gradient_checkpointing", "~trainer.accelerator"]).config
    assert (config.backbone.gradient_checkpointing, config.trainer.accelerator) == (False, "auto")
