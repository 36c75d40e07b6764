"""What the loop over epochs asks of heads that learn together, however they do it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch


@dataclass(frozen=True)
class StepFigures:
    """What each step of an epoch came to, for each head: all tensors are `(steps, heads)`.

    Attributes:
        loss: the sum of the terms.
        terms: of the loss, by name.
        observed: what else the objective looks at, by name.
    """

    loss: torch.Tensor
    terms: dict[str, torch.Tensor]
    observed: dict[str, torch.Tensor]


class Learner(Protocol):
    """One or more heads in training; `place` counts those that are still in it."""

    def train_epoch(self, epoch: int) -> StepFigures:
        """Train for an epoch. A head whose loss stops being finite is spoilt, but no other."""
        ...

    def rates(self) -> list[dict[str, float]]:
        """The learning rates of each head's groups in the last step, by the group's name."""
        ...

    def scores(self, features_ND: torch.Tensor) -> Iterator[torch.Tensor]:
        """The class scores `(N, C)` of each head in turn, without dropout and gradients."""
        ...

    def state(self, place: int) -> dict[str, torch.Tensor]:
        """A copy of a head's state dict."""
        ...

    def parts(self, place: int) -> dict[str, dict[str, torch.Tensor]]:
        """Copies of the state dicts of those of a job's parts that conclude its fit."""
        ...

    def keep(self, places: Sequence[int]) -> None:
        """Go on with these heads alone."""
        ...
