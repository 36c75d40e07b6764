"""Settings without effect where `features.views=auto` takes each image as it is."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from transferlab.config.classes import changes_nothing, sees_plain_images


def idle_with_plain_images(config: dict[str, Any], given: Collection[str]) -> Iterator[str]:
    """An augmentation of the command line that no image goes through."""
    if not sees_plain_images(config) or changes_nothing(config["data"].get("augmentation")):
        return
    for key in given:
        if key == "data/augmentation" or key.startswith("data.augmentation"):
            yield (
                f"{key} has no effect: the backbone is frozen, and features.views=auto takes each image as "
                "it is. Fix: features.views=4 (augmented versions of each image), or features.views=null "
                "(new ones in each epoch, slow)."
            )
