"""The functions that configs use, and what makes two jobs the same."""

from __future__ import annotations

import re

import pytest
from omegaconf import OmegaConf

from transferlab.config import resolvers
from transferlab.config.compose import compose_checked
from transferlab.config.resolvers import identity


def plain(*overrides: str) -> dict:
    return OmegaConf.to_container(compose_checked(list(overrides)).config)


def test_identity_is_of_what_changes_the_outcome():
    config = plain()
    assert re.fullmatch("[0-9a-f]{12}", identity(config))
    assert identity(config) == identity(plain("seed=0"))
    elsewhere = plain(
        "logger=wandb",
        "data.num_workers=3",
        "trainer.devices=2",
        "name=other",
        "fit.checkpoint_every_steps=7",
    )
    assert identity(config) == identity(elsewhere)
    assert identity(config) != identity(plain("seed=1"))
    assert identity(config) != identity(plain("strategy.learning_rates.base=0.002"))
    before = OmegaConf.to_container(OmegaConf.create(config))
    identity(config)
    assert config == before  # nothing is taken out of what it was given


def test_names_and_folders_of_runs():
    composed = compose_checked([])
    assert composed.config.name == "fine_tune"
    assert re.fullmatch(r"runs/fine_tune/\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_[0-9a-f]{6}", str(composed.run_dir))
    assert compose_checked(["experiment=few_digits"]).config.name == "few_digits"
    assert compose_checked(["strategy=partial"]).config.name == "partial"
    assert str(compose_checked(["hydra.run.dir=here"]).run_dir) == "here"
    assert compose_checked([]).run_dir != composed.run_dir


def test_a_running_hydra_comes_back():
    from hydra.core.hydra_config import HydraConfig

    compose_checked([])
    assert not HydraConfig.initialized()


def test_a_jobs_folder_says_what_it_overrides():
    resolvers.register()
    task = ["++seed=1", "strategy/objective=dann", "experiment=[]", "++data.root=/photos", "++allow=[mine]"]
    made = {"hydra": {"overrides": {"task": task}, "name": "${job_identity:}"}, "seed": 1}
    name = OmegaConf.create(made).hydra.name
    assert re.fullmatch("experiment=null,seed=1,objective=dann_[0-9a-f]{8}", name)


LITE, LETTERS = "tf_efficientnet_lite0", "resnet10t"


@pytest.mark.parametrize(
    ("overrides", "name", "weights"),
    [
        ([], LETTERS, "shipped"),
        (["data=letters"], LETTERS, "shipped"),
        (["experiment=few_digits"], LETTERS, "shipped"),
        (["data=folder", "data.root=."], LITE, "package"),
        (["data=table", "data.source.table=x.csv"], LITE, "package"),
        (["data=folder", "data.root=.", "backbone=letters_resnet"], LETTERS, "shipped"),
        (["backbone=efficientnet_lite0"], LITE, "package"),
        (["data=folder", "data.root=.", "backbone=resnet18"], "resnet18", "hub"),
        (["experiment=mine"], LITE, "package"),
        (["experiment=mine", "backbone=letters_resnet"], LETTERS, "shipped"),
        (["data=my_data"], LITE, "package"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_the_default_backbone_follows_the_data(overrides, name, weights, write):
    """An option, an experiment's, or one of the user's own."""
    write("x.csv", "image,label\n")
    write("conf/data/my_data.yaml", "defaults: [folder]\nroot: .\n")
    write("conf/experiment/mine.yaml", "# @package _global_\ndefaults: [{override /data: my_data}]\n")
    composed = compose_checked(overrides)
    assert (composed.config.backbone.name, composed.config.backbone.weights) == (name, weights)
    assert "${" not in str(composed.choices)
