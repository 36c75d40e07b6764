"""The losses of a batch, which holds images or activations of frozen layers in their place."""

from __future__ import annotations

from transferlab.model.classifier import Classifier
from transferlab.run.errors import UserError
from transferlab.strategy.parts import Batch, Losses, Objective

_STANDS_IN = {"image": "input", "target_image": "target_input"}


def losses_of(objective: Objective, network: Classifier, batch: Batch, progress: float) -> Losses:
    """The objective's losses; raises `UserError` where it reads images that activations stand in for."""
    try:
        return objective.losses(network, batch, progress)
    except KeyError as error:
        key = error.args[0]
        if key in batch or _STANDS_IN.get(key) not in batch:
            raise
        raise UserError(
            f"strategy.objective: {type(objective).__name__} reads batch[{key!r}], but outputs of frozen "
            "layers stand in for the images here. Fix: declare `needs_images: ClassVar[bool] = True` in the "
            f"class, or read batch[{_STANDS_IN[key]!r}], which is what the network takes."
        ) from error
