"""Which jobs train together: a pure function of their configs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from transferlab.config import config_files
from transferlab.config.compose import started
from transferlab.data.augmentation.pipeline import Augmentation
from transferlab.training.heads.sharing import groups_of

FROZEN = ("strategy=feature_extraction", "strategy/head=linear", "features.cache=auto", "features.views=null")


@pytest.fixture(scope="module")
def composed():
    """The config of a command line; each choice of options is composed once, for any `key=value`."""
    known = {}
    with started("train", None) as composer:

        def compose(*overrides: str):
            chosen = tuple(text for text in overrides if text.partition("=")[0] in composer.groups)
            if chosen not in known:
                known[chosen] = composer.compose(*composer.read(chosen)).written
            config = known[chosen].copy()
            values = [text for text in overrides if text not in chosen]
            for value in OverridesParser.create().parse_overrides(values):
                OmegaConf.update(config, value.key_or_group, value.value())
            return OmegaConf.create(OmegaConf.to_container(config, resolve=True))

        yield compose


@pytest.fixture
def together(composed):
    """Whether a frozen job and the same with these overrides train together."""

    def answer(*changes: str, both: tuple[str, ...] = ()) -> bool:
        return len(groups_of([composed(*FROZEN, *both), composed(*FROZEN, *both, *changes)])) == 1

    return answer


@pytest.mark.parametrize(
    "change",
    ["seed=1", "strategy.learning_rates.base=0.1", "strategy.learning_rates.weight_decay=0.3", "name=other"],
)
def test_what_members_may_differ_in(together, change):
    assert together(change)


@pytest.mark.parametrize(
    "change",
    [
        "data.batch_size=8",
        "data.split_seed=1",
        "data.shots_per_class=4",
        "backbone.crop_pct=0.5",
        "strategy.head_dropout=0.1",
        "strategy.learning_rates.momentum=0.5",
        "strategy/objective=focal",
        "strategy/head=mlp",
        "trainer.max_epochs=3",
        "fit.early_stopping_patience=2",
    ],
)
def test_what_keeps_jobs_apart(together, change):
    assert not together(change)


@pytest.mark.parametrize(
    "both",
    [
        ("strategy/unfreezing=last",),
        ("strategy/unfreezing=all",),
        ("strategy/unfreezing=gradual",),
        ("features.cache=off",),
        ("data/augmentation=light",),
        ("data/mixing=mixup",),
        ("trainer=ddp",),
        ("trainer.devices=2",),
        ("trainer.precision=64-true",),
        ("fit.compile=true",),
        ("data=digits_domains", "strategy/objective=dann"),
    ],
    ids=lambda both: both[-1],
)
def test_jobs_that_train_alone_whatever_they_share(together, both):
    assert not together("seed=1", both=both)


@pytest.mark.parametrize(
    "both",
    [
        ("strategy/unfreezing=last", "strategy.unfreezing.num_stages=0"),
        ("data/augmentation=light", "features.views=2"),
        ("features.views=auto", "data/augmentation=light"),
        ("strategy/head=mlp",),
        ("trainer=cpu",),
        ("strategy/penalty=[l1]",),
    ],
    ids=lambda both: both[0],
)
def test_other_ways_to_train_heads_on_features(together, both):
    assert together("seed=1", both=both)


@pytest.mark.parametrize("chosen", ["data.shots_per_class=4", "data.fraction=0.5"])
def test_shots_that_the_seed_chooses_are_other_data(together, chosen):
    assert not together("seed=1", both=(chosen,))
    assert together("seed=1", both=(chosen, "data.shots_seed=0"))


@pytest.mark.parametrize("random", ["backbone.weights=random", "strategy.start_from=random"])
def test_a_backbone_that_the_seed_makes_has_other_features(together, random):
    assert not together("seed=1", both=(random,))
    assert together("strategy.learning_rates.base=0.1", both=(random,))


def test_no_section_on_features_is_none_kept(composed):
    configs = [composed(*FROZEN, f"seed={seed}").copy() for seed in (0, 1)]
    assert groups_of(configs) == [[0, 1]]
    for config in configs:
        del config["features"]
    assert groups_of(configs) == [[0], [1]]


def test_every_position_once_in_the_order_of_the_first_of_each_group(composed):
    heads = [composed(*FROZEN, f"seed={seed}") for seed in (0, 1)]
    others = [composed(*FROZEN, "data.batch_size=8", f"seed={seed}") for seed in (0, 1)]
    alone = composed("strategy=fine_tune")
    assert groups_of([alone, others[0], heads[0], alone, others[1], heads[1]]) == [[0], [1, 4], [2, 5], [3]]
    assert groups_of([]) == []


def test_configs_stay_as_they_are(composed):
    config = composed(*FROZEN)
    before = config.copy()
    groups_of([config, config])
    assert config == before


@pytest.mark.parametrize("option", ["none", "light", "medical", "rand", "standard", "trivial"])
def test_augmentation_that_changes_nothing_is_known_without_building_it(together, option):
    file = config_files.shipped() / "data" / "augmentation" / f"{option}.yaml"
    arguments = yaml.safe_load(file.read_text())
    del arguments["_target_"]
    assert together("seed=1", both=(f"data/augmentation={option}",)) != Augmentation(**arguments).is_random


def _options(group: str) -> list[Path]:
    return sorted((config_files.shipped() / group).glob("*.yaml"))
