"""Settings without effect where a frozen backbone sees the images as they are."""

from __future__ import annotations

import pytest

from transferlab.config.compose import compose_checked

FROZEN = "strategy=feature_extraction"
FIX = (
    "has no effect: the backbone is frozen, and features.views=auto takes each image as it is. Fix: "
    "features.views=4 (augmented versions of each image), or features.views=null (new ones in each epoch, "
    "slow)."
)


@pytest.mark.parametrize("typed", ["data/augmentation=standard", "data.augmentation.rotation_degrees=10"])
def test_an_augmentation_that_no_image_goes_through(typed):
    key = typed.partition("=")[0]
    assert compose_checked([FROZEN, typed]).warnings == [f"{key} {FIX}"]


@pytest.mark.parametrize(
    "further",
    [
        ["data/augmentation=none"],
        ["data/augmentation=standard", "features.views=2"],
        ["data/augmentation=standard", "features.views=null"],
        ["data/augmentation=standard", "strategy=lp_ft"],
        ["data/augmentation=standard", "strategy/head=linear", "data/mixing=mixup"],
        [],
    ],
    ids=" ".join,
)
def test_nothing_to_say(further):
    assert compose_checked([FROZEN, *further]).warnings == []
