"""Other tools' words lead to our settings, each of which exists."""

from __future__ import annotations

import pytest

from transferlab.config.compose import started
from transferlab.config.other_words import OTHER_WORDS, meant_by_word
from transferlab.config.walk import known_paths


def test_every_setting_that_is_named_exists():
    with started("train", None) as composer:
        composed = composer.compose([], [])
        known = {*known_paths(composed.config), *composer.groups, "hydra.run.dir", "data.source.table"}
    assert set(OTHER_WORDS.values()) <= known
    assert not set(OTHER_WORDS) & {path for path in known if "." not in path and "/" not in path}


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("epochs=5", "trainer.max_epochs"),
        ("trainer.epochs=5", "trainer.max_epochs"),
        ("model=resnet50", "backbone"),
        ("lr=0.1", "strategy.learning_rates.base"),
        ("strategy.learning_rates.lr=0.1", "strategy.learning_rates.base"),
        ("batch=8", "data.batch_size"),
        ("batch_size=8", "data.batch_size"),
        ("seeds=3", "seed"),
        ("gpus=1", "trainer.devices"),
        ("devices=1", "trainer.devices"),
        ("dataset=mnist", "data"),
        ("loss=focal", "strategy/objective"),
        ("num_epochs=3", "trainer.max_epochs"),
    ],
)
def test_hints(typed, meant, problems):
    assert problems(typed) == [f"{typed.partition('=')[0]}: there is no such key. Did you mean {meant}?"]


def test_any_spelling():
    assert meant_by_word("--num-epochs") == "trainer.max_epochs"
    assert meant_by_word("LR") == "strategy.learning_rates.base"
    assert meant_by_word("xyzzy") is None
