"""What ends a training: a loss or predictions that are not numbers any more."""

from __future__ import annotations

from collections.abc import Iterable

from transferlab.run.errors import UserError


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
        "strategy.learning_rates.base or clip gradients: trainer.gradient_clip_val=1.0."
    )
