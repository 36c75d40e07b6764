"""Frozen first stages run once: the rest learns as it would behind the whole network, also after a kill."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.training.heads.test_head_fit import assert_close
from tests.training.processes import command, in_child, kill_at_call, was_killed
from tests.training.test_resume import TINY, assert_same
from transferlab.run.run_folder import Run
from transferlab.strategy.unfreezing.gradual import Gradual
from transferlab.strategy.unfreezing.validated import Validated
from transferlab.training import runs
from transferlab.training.frozen.prefix_policy import epochs_at_this_depth
from transferlab.training.lightning.module import TransferModule

PARTIAL = ["strategy=partial", "data=digits", "strategy.bn=mixed"]
# two epochs each with 0, 1 and 2 stages open
SLOWLY = [
    *("strategy=progressive_unfreezing", "strategy.unfreezing.every_epochs=2", "data=digits"),
    *("trainer.max_epochs=6", "strategy.head_dropout=0.2"),
]
STEPS_AN_EPOCH = 5


def arguments(*further: str) -> list[str]:
    return [*TINY, "backbone.name=test_resnet", *further]


def boundaries(cache: Path) -> set[str]:
    """At which modules activations are stored."""
    abouts = (cache / "features").glob("*/about.json")
    return {json.loads(file.read_text())["boundary"] for file in abouts}


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        pytest.param(PARTIAL, {"layer3"}, marks=pytest.mark.slow),
        ([*PARTIAL, "data/augmentation=light", "features.views=2"], {"layer3"}),
        (SLOWLY, {"features", "layer2", "layer3"}),
        pytest.param(
            ["strategy=dann", "data=digits_domains", "strategy/unfreezing=last"],
            {"layer3"},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["strategy=dann", "data=digits_domains", "strategy/unfreezing=none"],
            {"features"},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["partial", "partial with views", "progressive", "partial dann", "frozen dann"],
)
def test_equal_to_the_whole_network_in_each_step(setting, expected, trained):
    kept, whole = (Run(trained(*arguments(*setting, *further))) for further in ((), ("features.cache=off",)))
    assert boundaries(kept.path.parent / "cache") == expected
    assert_close(kept, whole, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "method", "call"),
    [
        ("while features alone are learned from", "training_step", 3),
        ("at the first step behind another boundary", "training_step", 2 * STEPS_AN_EPOCH + 1),
        ("behind the second boundary", "training_step", 3 * STEPS_AN_EPOCH + 4),
        ("in a validation", "validation_step", 14),
        ("in the test", "test_step", 2),
    ],
)
def test_killed_and_resumed(where, method, call, trained):
    alone = trained(*arguments(*SLOWLY))

    def killed() -> None:
        kill_at_call(TransferModule, method, call)
        runs.train([*arguments(*SLOWLY), "hydra.run.dir=killed"])

    assert was_killed(in_child(killed))
    assert in_child(lambda: runs.resume("killed")) == 0
    assert_same("killed", alone)


def test_killed_while_features_are_computed(trained):
    alone = trained(*arguments(*PARTIAL))

    def killed() -> None:
        from transferlab.feature import extraction

        kill_at_call(extraction, "activations", 4)
        runs.train([*arguments(*PARTIAL), "hydra.run.dir=killed"])

    assert was_killed(in_child(killed))
    assert in_child(lambda: runs.resume("killed")) == 0
    assert_same("killed", alone)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (["strategy=progressive_unfreezing", "data=digits"], "only 1 epoch would use them"),
        ([*PARTIAL, "features.cache_gib=1.0e-5"], "GiB of features.cache_gib=1e-05"),
        *(
            pytest.param([*PARTIAL, setting], said, marks=pytest.mark.slow)
            for setting, said in (
                ("backbone.gradient_checkpointing=true", "backbone.gradient_checkpointing=true"),
                ("data/mixing=mixup", "data/mixing makes new images"),
                ("data/augmentation=light", "features.views=4"),
            )
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_where_it_steps_aside_it_says_so_and_nothing_changes(setting, said, trained):
    code, shown, errors = command(["train", *arguments(*setting), "hydra.run.dir=kept"])
    assert code == 0, errors
    assert said in shown
    assert any(said in text for text in Run("kept").result["warnings"])
    if "progressive" not in setting[0]:  # its features are stored; the stages behind them are not
        with_images = [value for value in setting if "cache_gib" not in value]
        assert_same("kept", trained(*arguments(*with_images, "features.cache=off")))


def test_half_precision_is_close(trained):
    exact = Run(trained(*arguments(*PARTIAL)))
    rounded = Run(trained(*arguments(*PARTIAL, "features.storage=float16")))
    difference = (exact.history["train/loss"] - rounded.history["train/loss"]).abs().max()
    assert 0 < difference < 0.01


@pytest.mark.parametrize(("epoch", "expected"), [(0, 3), (2, 3), (3, 3), (9, 1)])
def test_epochs_at_a_depth(epoch, expected):
    unfreezing = Gradual(every_epochs=3)
    history = [{"trainable_stages": float(n // 3)} for n in range(epoch)]
    assert epochs_at_this_depth(unfreezing, epoch, history, num_stages=9, max_epochs=10) == expected


def test_epochs_at_a_depth_do_not_depend_on_what_comes_after_its_beginning():
    unfreezing = Validated(patience=1)
    history = [{"trainable_stages": 0.0, "val/loss": loss} for loss in (0.5, 0.4)]
    for epoch in (0, 1):
        counted = epochs_at_this_depth(unfreezing, epoch, history[:epoch], num_stages=3, max_epochs=8)
        assert counted == 8
