"""What a user reads when his config is wrong: each text is pinned."""

from __future__ import annotations

from pathlib import Path

import pytest

from transferlab.config.compose import ConfigError, compose_checked

STRATEGIES = (
    "cdan, cdan_e, dan, dann, deep_coral, feature_extraction, fine_tune, from_scratch, lp_ft, mcc, mdd, "
    "partial, progressive_unfreezing, progressive_unfreezing_validated, self_training, source_only"
)

# Mistakes that do not get into each other's way: all are told at once
TOGETHER = {
    "sead=3": ("sead: there is no such key. Did you mean seed?"),
    "strategy.learning_rates.bsae=1": (
        "strategy.learning_rates.bsae: there is no such key. Did you mean strategy.learning_rates.base?"
    ),
    "stratgy=dann": ("stratgy: there is no such key. Did you mean strategy?"),
    "+foo=3": (
        "foo: there is no such key. Keys of the config: "
        "kind, name, seed, backbone, data, strategy, fit, features, trainer, logger, allow."
    ),
    "strategy.unfreezing.every=3": (
        "strategy.unfreezing.every: there is no such key. strategy.unfreezing takes none."
    ),
    "data.batch_size=many": ("data.batch_size=many: must be a whole number, not text."),
    "fit.compile=1": ("fit.compile=1: must be true or false, not a whole number."),
    "data.sampling=balancd": ("data.sampling=balancd: must be uniform or balanced. Did you mean balanced?"),
    "data.num_workers=autoo": ("data.num_workers=autoo: must be a whole number or auto. Did you mean auto?"),
    "data.root.x=3": ("data.root={x: 3}: must be text or null, not a mapping."),
    "strategy=partail": (
        f"strategy=partail: there is no such option. Did you mean partial? Options: {STRATEGIES}."
    ),
    "strategy/penalty=[l1,l2sp]": (
        "strategy/penalty=l2sp: there is no such option. Did you mean l2_sp? Options: l1, l2_sp."
    ),
    "strategy/penalti=l1": (
        "strategy/penalti=l1: there is no group strategy/penalti. "
        "Did you mean strategy/penalty or strategy/head or strategy/objective?"
    ),
    "hydra/launcher=basci": (
        "hydra/launcher=basci: there is no such option. Did you mean basic? Options: basic, command, "
        "local, slurm, slurm_gpu, slurm_multi_gpu, slurm_multi_node, slurm_preemptible."
    ),
    "strategy.objective=dann": (
        "strategy.objective=dann: an option is chosen with a slash: strategy/objective=dann"
    ),
    "data.source=digits": (
        "data.source=digits: an option is chosen with a slash: data/catalog@data.source=digits"
    ),
    "strategy.penalty.l1.strength=1": (
        "strategy.penalty.l1: nothing of this name is chosen. Choose it first: strategy/penalty=l1"
    ),
    "name": ("name: neither group=option nor key=value."),
    "name=a=b": ("name=a=b: this cannot be read. Quote a value with special characters: 'name=\"a=b\"'"),
    "=3": ("=3: there is no key before the equals sign."),
    "seed=0,1": ("seed=0,1: several values make a sweep: add -m, or write a list as seed=[0,1]."),
    "strategy=fine_tune,partial": ("strategy=fine_tune,partial: several values make a sweep: add -m."),
    "trainer.max_epochs=${trainer.max_epochs}": (
        "trainer.max_epochs=${trainer.max_epochs}: it refers to itself."
    ),
}

# One at a time
ALONE = {
    "strategy.penalty=l1": ("strategy.penalty=l1: an option is chosen with a slash: strategy/penalty=l1"),
    "seed=true": ("seed=true: must be a whole number, not true or false."),
    "max_epochs=3": ("max_epochs: there is no such key. Did you mean trainer.max_epochs?"),
    "~foo": ("~foo: there is no such key to leave out."),
    "data.batch_size=1.5": ("data.batch_size=1.5: must be a whole number, not a decimal number."),
    "seed=null": ("seed=null: must be a whole number, not null."),
    "data.sampling=xyz": ("data.sampling=xyz: must be uniform or balanced."),
    "data.on_leak=3": ("data.on_leak=3: must be error or drop, not a whole number."),
    "logger=wandb logger.wandb.tags=[a,1]": (
        "logger.wandb.tags=[a, 1]: must be a list of text or null, not a list."
    ),
    "name=''": (
        "name has no value, and the run folder is called after it. Set it: name=..., or leave it out."
    ),
    "data=folder": (
        "data.root has no value. Set it: data.root=... "
        "(path of the folder: one sub-folder for each class, or train, val and test with such)."
    ),
    "~seed": ("seed has no value. Set it: seed=... (a whole number)."),
    "~logger": ("logger has no value. Choose an option: logger=... (csv, tensorboard, wandb)."),
    "logger=null": ("logger has no value. Choose an option: logger=... (csv, tensorboard, wandb)."),
    "logger=[csv,wandbb]": (
        "logger=wandbb: there is no such option. Did you mean wandb? Options: csv, tensorboard, wandb."
    ),
    "data/catalog@data.sorce=letters": (
        "data/catalog@data.sorce=letters: the config that is chosen has no such part to replace. "
        "Did you mean data/catalog@data.source?"
    ),
    "seed=${nope}": ("seed=${nope}: there is no key nope."),
    "name=${sed}": ("name=${sed}: there is no key sed. Did you mean ${seed}?"),
    "seed=${nope:3}": ("seed=${nope:3}: there is no function nope."),
    "hydra.run.dri=x": ("hydra.run.dri: there is no such key. Did you mean dir?"),
    "hydra.sweep.xyz=x": ("hydra.sweep.xyz: there is no such key. Keys of hydra.sweep: dir, subdir."),
}


def test_many_mistakes_at_once(problems):
    assert sorted(problems(*TOGETHER)) == sorted(TOGETHER.values())


@pytest.mark.parametrize("typed", ALONE)
def test_one_mistake(typed, problems):
    assert problems(*typed.split(" ")) == [ALONE[typed]]


def test_a_backbone_that_is_no_preset_may_be_one_of_timms(problems):
    (text,) = problems("backbone=resnet34")
    assert text.startswith(
        "backbone=resnet34: there is no such option. Did you mean resnet50 or resnet18? "
        "Any network of timm: backbone=timm backbone.name=resnet34. Options: convnext_tiny, "
    )


def test_all_problems_at_once():
    with pytest.raises(ConfigError) as caught:
        compose_checked(["sead=3", "data.batch_size=many", "data=folder", "strategy=finetune"])
    assert str(caught.value) == (
        "The config has 4 problems:\n"
        f"  strategy=finetune: there is no such option. Did you mean fine_tune? Options: {STRATEGIES}.\n"
        "  data.batch_size=many: must be a whole number, not text.\n"
        "  data.root has no value. Set it: data.root=... "
        "(path of the folder: one sub-folder for each class, or train, val and test with such).\n"
        "  sead: there is no such key. Did you mean seed?"
    )


def test_one_problem_is_told_as_one():
    with pytest.raises(ConfigError, match=r"^The config has 1 problem:\n  sead: "):
        compose_checked(["sead=3"])


def test_a_wrong_value_is_told_once_where_others_refer_to_it(problems):
    assert problems("seed=x") == ["seed=x: must be a whole number, not text."]


def test_wrong_places(problems):
    assert problems(config_name="trian") == [
        "--config-name=trian: there is no such config. Did you mean train?"
    ]
    assert problems(config_dir="nowhere") == ["--config-dir=nowhere: there is no such folder."]


FORBIDDEN = (
    "a config may not name this class. If it is your own, allow its module on the command line: allow=[os]."
)


def test_forbidden_classes(problems):
    typed = {
        "strategy.objective._target_=os.system": "strategy.objective",
        "strategy.penalty={l1:{_target_:os.system}}": "strategy.penalty.l1",
        "logger.x._target_=os.system": "logger.x",
    }
    assert sorted(problems(*typed)) == sorted(
        f"{path}._target_=os.system: {FORBIDDEN}" for path in typed.values()
    )


def test_forbidden_classes_deep_within_values(problems):
    typed = {
        "backbone.kwargs={a:{_target_:os.system}}": "backbone.kwargs.a",
        "trainer.further.plugins=[[{a:{_target_:os.system}}]]": "trainer.further.plugins.0.0.a",
    }
    assert sorted(problems(*typed)) == sorted(
        f"{path}._target_=os.system: {FORBIDDEN}" for path in typed.values()
    )


def test_forbidden_class_that_looks_like_an_allowed_one(problems):
    assert problems("strategy.objective._target_=transferlab.strategy.objective.dann.DAN") == [
        "strategy.objective._target_=transferlab.strategy.objective.dann.DAN: a config may not name this "
        "class. Did you mean transferlab.strategy.objective.dann.DANN?"
    ]


def test_forbidden_callback_of_hydra(problems):
    assert problems("+hydra.callbacks.x._target_=os.system") == [
        "hydra.callbacks.x._target_=os.system: a config may not name this class."
    ]


def test_harmless_habits(problems):
    assert problems("experiment=null", "+seed=3", "++data.batch_size=3", "+strategy/penalty=[l1,l2_sp]") == []


def test_a_path_may_look_like_overrides(problems):
    """As the folder of a sweep's job does."""
    job = Path("seed=0,strategy=dann-52757d")
    typed = f"name={job}"
    assert "cannot be read" in problems(typed)[0]
    job.mkdir()
    assert compose_checked([typed]).config.name == str(job)
    job.rmdir()
