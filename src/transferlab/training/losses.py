"""Losses of a batch, of images or of stored activations, and the errors that end a training."""

from __future__ import annotations

from collections.abc import Iterable

from transferlab.model.classifier import Classifier
from transferlab.run.errors import UserError
from transferlab.strategy.parts import Batch, Losses, Objective

_ONE_VALUE = "Expected more than 1 "  # value per channel, spatial element: torch, of its norms
_STANDS_IN = {"image": "input", "target_image": "target_input"}


def losses_of(objective: Objective, network: Classifier, batch: Batch, progress: float) -> Losses:
    """The objective's losses.

    Raises:
        UserError: it reads images that activations stand in for, or a batch is too small for a batch norm.
    """
    try:
        return objective.losses(network, batch, progress)
    except ValueError as error:
        if not str(error).startswith(_ONE_VALUE):
            raise
        raise UserError(
            "A batch norm needs more than one value of each channel to train, and in this batch it has one: a "
            f"batch of {len(batch['label'])}, of images that are 1 x 1 there. Fix: data.batch_size=2 or more, "
            "strategy.bn=frozen, or a larger data.image_size."
        ) from error
    except KeyError as error:
        key = error.args[0]
        if key in batch or _STANDS_IN.get(key) not in batch:
            raise
        raise UserError(
            f"strategy.objective: {type(objective).__name__} reads batch[{key!r}], but outputs of frozen "
            "layers stand in for the images here. Fix: declare `needs_images: ClassVar[bool] = True` in the "
            f"class, or read batch[{_STANDS_IN[key]!r}], which is what the network takes."
        ) from error


class NotFiniteError(UserError):
    """The loss is not a number any more."""


def loss_not_finite(terms: Iterable[str], *, epoch: int, step: int) -> NotFiniteError:
    """The error of a training loss; `terms` are the names of those that are not finite."""
    return NotFiniteError(
        f"The training loss is not finite ({', '.join(terms)}) in epoch {epoch}, step {step}. "
        "Lower strategy.learning_rates.base, clip gradients (trainer.gradient_clip_val=1.0), or use "
        "trainer.precision=32-true. Checkpoints of earlier epochs are kept."
    )


def predictions_not_finite(epoch: int) -> NotFiniteError:
    """The error of validation predictions."""
    return NotFiniteError(
        f"The validation predictions of epoch {epoch} are not finite: the weights have overflowed. Lower "
        "strategy.learning_rates.base, clip gradients (trainer.gradient_clip_val=1.0), or use "
        "trainer.precision=32-true (16-true holds no number above 65,504 and none below 6e-8)."
    )
