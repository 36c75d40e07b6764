"""Settings that contradict each other, and settings without effect."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from transferlab.config.compose import compose_checked
from transferlab.config.rules.contradictions import contradictions, warnings_about


@pytest.fixture(scope="module")
def plain():
    return OmegaConf.to_container(compose_checked(["trainer.max_epochs=15"]).config)


@pytest.fixture
def changed(plain):
    """The default config with dotted keys changed."""

    def change(**settings):
        config = copy.deepcopy(plain)
        for path, value in settings.items():
            *parents, last = path.split("__")
            node = config
            for parent in parents:
                node = node[parent]
            node[last] = value
        return config

    return change


def test_the_default_is_without_fault(plain):
    assert contradictions(plain) == []
    assert warnings_about(OmegaConf.create(plain)) == []


WRONG = [
    (
        {"backbone__name": None, "backbone__weights": "hub"},
        "backbone.name has no value, and backbone.weights names no file that would tell it. "
        "Set it: backbone.name=resnet18 (any timm name), or choose a preset: backbone=resnet18.",
    ),
    (
        {"backbone__weights": "gone.safetensors"},
        "backbone.weights=gone.safetensors: there is no such file or folder. "
        "It takes hub, package, random, shipped, a .safetensors file, a run folder or a folder of the hub.",
    ),
    (
        {"backbone__weights": "here.safetensors", "strategy__start_from": "random"},
        "backbone.weights=here.safetensors would not be used: strategy.start_from=random trains from "
        "scratch. Leave one of the two out.",
    ),
    (
        {"strategy__objective": {"_target_": "transferlab.strategy.objective.dann.DANN"}},
        "strategy.objective: DANN needs an unlabelled target domain, and this data has none. "
        "Choose data with two domains: data=digits_domains, or data=domains data.source.root=DIR "
        "data.target.root=DIR.",
    ),
    ({"data__root": "gone"}, "data.root=gone: there is no such folder."),
    ({"data__source": {"root": "gone"}}, "data.source.root=gone: there is no such folder."),
    (
        {"trainer__max_epochs": None},
        "trainer.max_epochs=null: the training would never end. "
        "Set it, or trainer.max_steps, or trainer.max_time.",
    ),
    (
        {"data__val_fraction": 0.5, "data__test_fraction": 0.5},
        "data.val_fraction=0.5 and data.test_fraction=0.5 leave nothing to train on. "
        "Together they must stay below 1.",
    ),
    ({"data__fold": 5}, "data.fold=5: must be one of 0 to 4 (data.num_folds=5)."),
    (
        {"data__fraction": 0.5, "data__shots_per_class": 2},
        "data.fraction=0.5 and data.shots_per_class=2 both limit the training images. "
        "Set one of them to null.",
    ),
    (
        {"data__on_bad_image": "skip", "data__check_images": False},
        "data.on_bad_image=skip: needs data.check_images=true, as broken images must be known before the "
        "data is split.",
    ),
    (
        {"data__target": {"min_contrast": 0.9, "max_contrast": 0.5}},
        "data.target.min_contrast=0.9: must be at most data.target.max_contrast=0.5.",
    ),
]


@pytest.mark.parametrize(("settings", "text"), WRONG)
def test_contradictions(settings, text, changed):
    Path("here.safetensors").touch()
    assert contradictions(changed(**settings)) == [text]


def test_a_missing_folder_is_told_once(changed):
    assert len(contradictions(changed(data__root="gone", data__source={"root": "gone"}))) == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"trainer__max_epochs": None, "trainer__max_steps": 5},
        {"trainer__max_epochs": None, "trainer__max_time": "00:01:00:00"},
        {"backbone__name": None, "backbone__weights": "here.safetensors"},
        {"backbone__weights": "random", "strategy__start_from": "random"},
        {"data__root": "."},
    ],
)
def test_no_contradiction(settings, changed):
    Path("here.safetensors").touch()
    assert contradictions(changed(**settings)) == []


NONE = "transferlab.strategy.unfreezing.none.NoStage"
LAST = {"_target_": "transferlab.strategy.unfreezing.last.Last", "num_stages": 0}
VALIDATED = {"_target_": "transferlab.strategy.unfreezing.validated.Validated"}
IDLE = [
    (
        {"fit__early_stopping_patience": 15},
        "fit.early_stopping_patience=15 has no effect: training ends after trainer.max_epochs=15 anyway.",
    ),
    (
        {"backbone__weights": "random"},
        "backbone.weights=random: nothing is transferred, though the strategy expects pretrained weights. "
        "Is strategy=from_scratch meant?",
    ),
    (
        {"strategy__unfreezing": {"_target_": NONE}, "strategy__learning_rates__stage_decay": 0.5},
        "strategy.learning_rates.stage_decay has no effect: no stage of the backbone is trained.",
    ),
    (
        {"strategy__unfreezing": LAST, "strategy__learning_rates__stage_decay": 0.5},
        "strategy.learning_rates.stage_decay has no effect: no stage of the backbone is trained.",
    ),
    (
        {"strategy__unfreezing": VALIDATED, "strategy__selection": "last"},
        "strategy.selection=last: the depth that validates best is found but not used. "
        "Fix: strategy.selection=val_loss",
    ),
    (
        {"strategy__unfreezing": {"_target_": NONE}, "strategy__penalty": {"l2_sp": {"strength": 1.0}}},
        "strategy.penalty.l2_sp.strength has no effect: no stage of the backbone is trained.",
    ),
    (
        {"strategy__unfreezing": {"_target_": "x.Gradual", "every_epochs": 15}},
        "strategy.unfreezing.every_epochs=15 has no effect: no stage opens within trainer.max_epochs=15.",
    ),
    (
        {"strategy__learning_rates__warmup_epochs": 20.0},
        "strategy.learning_rates.warmup_epochs=20.0: the full learning rate is never reached within "
        "trainer.max_epochs=15.",
    ),
]


def test_weights_after_a_plateau_are_worth_a_word(changed):
    text = (
        "strategy.selection=last: the weights where fit.early_stopping_patience=5 ends the training are "
        "those of so many epochs after the best. Fix: strategy.selection=val_loss"
    )
    assert warnings_about(OmegaConf.create(changed(fit__early_stopping_patience=5))) == [text]


AUTO = [
    (
        {"fit__early_stopping_patience": 100},
        "fit.early_stopping_patience=100 has no effect: training ends after trainer.max_epochs=auto (at most "
        "100) anyway.",
    ),
    (
        {"strategy__learning_rates__warmup_epochs": 101.0},
        "strategy.learning_rates.warmup_epochs=101.0: the full learning rate is never reached within "
        "trainer.max_epochs=auto (at most 100).",
    ),
    (
        {"strategy__unfreezing": {"_target_": NONE}, "strategy__learning_rates__layer_decay": 0.5},
        "strategy.learning_rates.layer_decay has no effect: no stage of the backbone is trained.",
    ),
]


@pytest.mark.parametrize(("settings", "text"), AUTO)
def test_warnings_with_epochs_by_themselves(settings, text, changed):
    assert warnings_about(OmegaConf.create(changed(trainer__max_epochs="auto", **settings))) == [text]
    fewer = {key: 99 for key in settings if key.endswith(("patience", "warmup_epochs"))}
    assert (
        warnings_about(
            OmegaConf.create(changed(trainer__max_epochs="auto", strategy__selection="val_loss", **fewer))
        )
        == []
    )


@pytest.mark.parametrize(("settings", "text"), IDLE)
def test_warnings(settings, text, changed):
    assert warnings_about(OmegaConf.create(changed(**settings))) == [text]


@pytest.mark.parametrize(
    "settings",
    [
        {"fit__early_stopping_patience": 14, "strategy__selection": "val_loss"},
        {"strategy__learning_rates__warmup_epochs": 14.0},
    ],
)
def test_no_warning(settings, changed):
    assert warnings_about(OmegaConf.create(changed(**settings))) == []
