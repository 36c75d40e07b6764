"""The functions that configs use, and what makes two jobs the same."""

from __future__ import annotations

import re

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
    assert composed.config.name == "lp_ft"
    assert re.fullmatch(r"runs/lp_ft/\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_[0-9a-f]{6}", str(composed.run_dir))
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
