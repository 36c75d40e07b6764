"""Bounds in annotations: what they hold, and every one that a shipped class states."""

from __future__ import annotations

import doctest
import math
from typing import Annotated, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from transferlab.config import bounds
from transferlab.config.annotation import broken_rule
from transferlab.config.bounds import Above, AtLeast, AtMost, Below, Duration, NotEmpty
from transferlab.config.check import check
from transferlab.config.classes import find
from transferlab.config.compose import compose_checked

# The options chosen, then the wrong value of each key and what it must be
WRONG: dict[tuple[str, ...], dict[str, str]] = {
    (): {
        "data.batch_size=0": "at least 1",
        "data.target_batch_size=0": "at least 1, or null",
        "data.num_workers=-1": "at least 0, or auto",
        "data.image_size=0": "at least 1, or null",
        "data.shots_per_class=0": "at least 1, or null",
        "data.fraction=1.5": "above 0 and at most 1, or null",
        "data.val_fraction=1.0": "above 0 and below 1",
        "data.test_fraction=0.0": "above 0 and below 1",
        "data.fold=-1": "at least 0, or null",
        "data.num_folds=1": "at least 2",
        "data.cache_gib=0": "above 0",
        "data.steps_per_epoch=0": "at least 1, or null",
        "data.mixing.mixup_alpha=-0.1": "at least 0",
        "data.mixing.cutmix_alpha=-1": "at least 0",
        "data.augmentation.min_crop_area=0": "above 0 and at most 1",
        "data.augmentation.max_crop_ratio=0.5": "at least 1",
        "data.augmentation.horizontal_flip=2": "at least 0 and at most 1",
        "data.augmentation.vertical_flip=-0.5": "at least 0 and at most 1",
        "data.augmentation.rotation_degrees=-1": "at least 0",
        "data.augmentation.brightness=-1": "at least 0",
        "data.augmentation.contrast=-1": "at least 0",
        "data.augmentation.saturation=-1": "at least 0",
        "data.augmentation.hue=0.7": "at least 0 and at most 0.5",
        "backbone.crop_pct=2.5": "above 0 and at most 2, or null",
        "strategy.bottleneck_units=0": "at least 1, or null",
        "strategy.head_dropout=1": "at least 0 and below 1",
        "strategy.objective.label_smoothing=1": "at least 0 and below 1",
        "strategy.learning_rates.base=0": "above 0",
        "strategy.learning_rates.backbone_factor=-1": "at least 0",
        "strategy.learning_rates.stage_decay=-1": "at least 0",
        "strategy.learning_rates.layer_decay=-1": "at least 0",
        "strategy.learning_rates.objective_factor=-1": "at least 0",
        "strategy.learning_rates.warmup_epochs=-0.5": "at least 0",
        "strategy.learning_rates.step_epochs=0": "above 0",
        "strategy.learning_rates.step_factor=-1": "at least 0",
        "strategy.learning_rates.weight_decay=-0.1": "at least 0",
        "strategy.learning_rates.momentum=1": "at least 0 and below 1",
        "fit.early_stopping_patience=-1": "at least 0, or null",
        "fit.min_delta=-1": "at least 0",
        "fit.checkpoint_every_minutes=0": "above 0, or null",
        "fit.checkpoint_every_steps=0": "at least 1, or null",
        "fit.ema_decay=1.5": "at least 0 and below 1, or null",
        "fit.swa_start=1": "at least 0 and below 1, or null",
        "strategy.learning_rates.sam_rho=-0.1": "at least 0",
        "features.views=0": "at least 1, or auto, or null",
        "features.cache_gib=0": "above 0",
        "trainer.accumulate_grad_batches=0": "at least 1",
        "trainer.num_nodes=0": "at least 1",
        "trainer.min_epochs=-1": "at least 0, or null",
        "trainer.check_val_every_n_epoch=0": "at least 1, or null",
        "trainer.gradient_clip_val=-1": "at least 0, or null",
        "trainer.limit_train_batches=0": "above 0, or null",
        "trainer.max_time=10": str(Duration()),
    },
    ("strategy=fine_tune", "strategy/head=mlp", "strategy/unfreezing=validated"): {
        "strategy.head.hidden_units=0": "at least 1",
        "strategy.head.hidden_layers=-1": "at least 0",
        "strategy.head.dropout=1": "at least 0 and below 1",
        "strategy.unfreezing.patience=0": "at least 1",
        "strategy.unfreezing.min_delta=-1": "at least 0",
        "strategy.unfreezing.first=-1": "at least 0",
    },
    ("strategy=feature_extraction", "strategy/head=logistic"): {
        "strategy.head.strengths=[]": "not empty",
        "strategy.head.tolerance=0": "above 0",
        "strategy.head.max_iterations=0": "at least 1",
    },
    ("strategy/objective=focal",): {"strategy.objective.gamma=-1": "at least 0"},
    ("strategy/unfreezing=gradual", "strategy/objective=logit_adjustment", "strategy/penalty=[l1,l2_sp]"): {
        "strategy.unfreezing.every_epochs=0": "at least 1",
        "strategy.unfreezing.first=-1": "at least 0",
        "strategy.objective.tau=-1": "at least 0",
        "strategy.penalty.l1.strength=-1": "at least 0",
        "strategy.penalty.l2_sp.strength=-1": "at least 0",
        "strategy.penalty.l2_sp.head_strength=-1": "at least 0",
    },
    ("strategy/unfreezing=last", "data=letters", "data/augmentation=none"): {
        "strategy.unfreezing.num_stages=-1": "at least 0",
        "data.source.num_per_class=0": "at least 1",
        "data.source.coloured=1.1": "at least 0 and at most 1",
    },
    ("strategy=cdan", "data=digits_domains"): {
        "strategy.objective.weight=-1": "at least 0",
        "strategy.objective.steepness=0": "above 0",
        "strategy.objective.horizon=1.5": "at least 0 and at most 1",
        "strategy.objective.hidden_units=0": "at least 1",
        "strategy.objective.hidden_layers=-1": "at least 0",
        "strategy.objective.largest_map=-1": "at least 0",
        "strategy.objective.random_units=0": "at least 1",
        "strategy.objective.label_smoothing=-0.1": "at least 0 and below 1",
        "data.target.min_contrast=-0.1": "at least 0 and at most 1",
        "data.target.max_contrast=1.5": "at least 0 and at most 1",
    },
    ("strategy=mdd", "data=digits_domains"): {
        "strategy.objective.margin=0": "above 0",
        "strategy.objective.hidden_units=0": "at least 1",
    },
    ("strategy=mcc", "data=digits_domains"): {"strategy.objective.temperature=0": "above 0"},
    ("strategy=dan", "data=digits_domains"): {"strategy.objective.bandwidth_factors=[]": "not empty"},
    ("strategy=dann", "data=digits_domains"): {"strategy.objective.hidden_layers=-1": "at least 0"},
    ("strategy=deep_coral", "data=digits_domains"): {
        "strategy.objective.weight=nan": "a finite number, at least 0"
    },
    ("strategy=self_training", "data=digits_domains"): {
        "strategy.objective.threshold=1.5": "at least 0 and at most 1",
        "strategy.objective.decay=1": "at least 0 and below 1",
    },
    ("data=mnist_to_mnist_m", "data.root=.", "data.target.photos=."): {
        "data.target.num_photos=0": "at least 1, or null",
        "data.target.photo_px=27": "at least 28, or null",
    },
    ("data=folder", "data.root=."): {
        "data.source.max_pixels=0": "at least 1",
        "backbone.image_size=0": "at least 1, or null",
    },
    ("data=table", "data.source.table=x.csv"): {"data.source.max_pixels=0": "at least 1"},
    ("data=huggingface", "data.source.path=x"): {"data.source.max_pixels=0": "at least 1"},
}

# The same where each item of a list is wrong or not
EACH: dict[tuple[str, ...], dict[str, str]] = {
    ("strategy=dan", "data=digits_domains"): {"strategy.objective.bandwidth_factors=[1,0]": "above 0"},
    ("strategy=feature_extraction", "strategy/head=logistic"): {"strategy.head.strengths=[1,-1]": "above 0"},
    ("backbone=own", "backbone.network={_target_:transferlab.data.catalog.digits.Digits}"): {
        "backbone.std=[0.5,0,0.5]": "above 0, or null"
    },
}


@pytest.mark.parametrize("chosen", WRONG, ids=" ".join)
def test_every_wrong_value_at_once(chosen, problems):
    wrong = WRONG[chosen]
    expected = [f"{typed}: must be {rule}.".replace("be not", "not be") for typed, rule in wrong.items()]
    assert sorted(problems(*chosen, *wrong)) == sorted(expected)


def test_the_table_has_every_bound_of_a_shipped_class(shipped_nodes):
    tested = {key.partition("=")[0] for wrong in (*WRONG.values(), *EACH.values()) for key in wrong}
    named = {(path.partition(".")[0], path.rpartition(".")[2]) for path in tested}
    for path, target, _ in shipped_nodes:
        for name, argument in find(target).arguments.items():
            if "Annotated" in str(argument.annotation):
                assert (path.partition(".")[0], name) in named, f"{path}.{name}"


def test_the_defaults_are_within_their_bounds(shipped_nodes):
    for _, target, _ in shipped_nodes:
        for name, argument in find(target).arguments.items():
            if argument.default is not ...:
                assert broken_rule(argument.default, argument.annotation) is None, f"{target}: {name}"


@given(st.floats(allow_nan=True, allow_infinity=True) | st.integers(), st.integers(-3, 3))
def test_numbers_against_their_limits(value, limit):
    finite = isinstance(value, int) or math.isfinite(value)
    assert AtLeast(limit).holds(value) == (finite and value >= limit)
    assert Above(limit).holds(value) == (finite and value > limit)
    assert AtMost(limit).holds(value) == (finite and value <= limit)
    assert Below(limit).holds(value) == (finite and value < limit)


def test_what_is_no_number_is_another_type():
    assert all(AtLeast(5).holds(value) for value in (None, "auto", True, []))
    assert [NotEmpty().holds(value) for value in ([], "", [0], "a", None, 0)] == [False] * 2 + [True] * 4


def test_within_unions_and_lists():
    each = list[Annotated[float, Above(0)]]
    assert broken_rule([0.5, 0], each) == "each must be above 0"
    assert broken_rule([0.5, 1], each) is None
    assert broken_rule([], Annotated[each, NotEmpty()]) == "must not be empty"
    assert broken_rule(3, Annotated[int, AtMost(2)] | Annotated[int, AtLeast(9)]) == "must be at most 2"
    assert broken_rule(9, Annotated[int, AtMost(2)] | Annotated[int, AtLeast(9)]) is None
    assert broken_rule(-1, Annotated[int | None, AtLeast(0)]) == "must be at least 0"


def test_examples():
    assert doctest.testmod(bounds).failed == 0
    assert get_args(bounds.Share)[1:] == (AtLeast(0), Below(1))


@pytest.mark.parametrize("chosen", EACH, ids=" ".join)
def test_lists_are_judged_item_by_item(chosen, problems):
    (typed,) = EACH[chosen]
    assert problems(*chosen, typed) == [f"{typed.replace(',', ', ')}: each must be {EACH[chosen][typed]}."]


def test_bounds_types_keys_and_rules_at_once(problems):
    assert problems("data.num_folds=1", "data.root=gone", "sead=3", "strategy.bn=separate") == [
        "data.num_folds=1: must be at least 2.",
        "sead: there is no such key. Did you mean seed?",
        "strategy.bn=separate: CrossEntropy sees one domain alone. Leave it out, or choose an objective that "
        "adapts: strategy=dann.",
        "data.root=gone: there is no such folder.",
    ]
    assert problems("data.num_folds=1", "data.batch_size=many") == [
        "data.batch_size=many: must be a whole number, not text.",
        "data.num_folds=1: must be at least 2.",
    ]


def test_a_rule_is_silent_about_a_value_that_is_wrong_already(problems):
    assert problems("data.num_folds=1", "data.fold=3") == ["data.num_folds=1: must be at least 2."]
    assert problems("data.val_fraction=1.5") == ["data.val_fraction=1.5: must be above 0 and below 1."]


def test_a_wrong_value_that_another_key_refers_to_is_told_once(problems):
    assert problems("data.image_size=0", "backbone.image_size=${data.image_size}") == [
        "data.image_size=0: must be at least 1, or null."
    ]


def test_an_unknown_key_that_cannot_be_resolved(problems):
    assert problems("+foo=${nope}") == [
        "foo: there is no such key. Keys of the config: "
        "kind, name, seed, backbone, data, strategy, fit, features, trainer, logger, allow."
    ]


def test_a_recorded_config_is_checked_too():
    config = OmegaConf.create(OmegaConf.to_container(compose_checked([]).config))
    assert check(config, given={}) == []
    config.data.num_folds = 1
    assert check(config, given={}) == ["data.num_folds=1: must be at least 2."]
