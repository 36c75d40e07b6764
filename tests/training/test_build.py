"""Values that `build` decides: epochs, the memory format."""

from __future__ import annotations

import pytest

from tests.training.test_resume import TINY
from transferlab.config.compose import compose_checked
from transferlab.training.build import Experiment, build, build_like


def built(*overrides: str) -> Experiment:
    return build(compose_checked([*TINY, "backbone.name=test_resnet", *overrides]).config)


FEW = (
    "40 training images: 100 epochs, the most of trainer.max_epochs=auto, are {} steps. Fix: a smaller "
    "data.batch_size, or strategy=feature_extraction, which fits few images best."
)


@pytest.mark.parametrize(
    ("further", "epochs", "notes"),
    [
        (["data.batch_size=8"], 100, (FEW.format(500),)),
        (["data.batch_size=8", "trainer.accumulate_grad_batches=2"], 100, (FEW.format(300),)),
        (["data.batch_size=64"], 100, (FEW.format(100),)),  # above the data
        (["data.batch_size=5"], 75, ()),
        (["data.batch_size=8", "data.steps_per_epoch=30"], 20, ()),
        (["data.batch_size=8", "trainer.max_epochs=3"], 3, ()),
        (["data.batch_size=8", "trainer.max_steps=7"], -1, ()),
        (["strategy=feature_extraction"], 100, ()),  # fitted at once
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_epochs_for_enough_steps(further, epochs, notes):
    experiment = built("trainer.max_epochs=auto", *further)
    assert (experiment.config.trainer.max_epochs, experiment.notes) == (epochs, notes)


def test_each_of_a_group_has_its_epochs():
    settings = [*TINY, "backbone.name=test_resnet", "strategy=feature_extraction", "strategy/head=linear"]
    one, other = (
        compose_checked([*settings, "data.batch_size=5", "trainer.max_epochs=auto", f"seed={seed}"]).config
        for seed in (0, 1)
    )
    assert build_like(build(one), other).config.trainer.max_epochs == 75


@pytest.mark.parametrize(
    ("network", "asked", "expected"),
    [
        ("test_efficientnet", "auto", "channels_last"),
        ("test_efficientnet", "false", None),
        ("test_resnet", "auto", None),
        ("test_resnet", "true", "channels_last"),
        ("test_vit", "auto", None),
    ],
)
def test_depthwise_convolutions_are_laid_out_by_pixels(network, asked, expected):
    experiment = built(f"backbone.name={network}", f"fit.channels_last={asked}")
    assert experiment.network.backbone.memory_format == expected
