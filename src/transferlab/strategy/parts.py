"""What the parts of a strategy must offer; a user's own part is a class that fits one of these."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

import torch
from torch import nn

from transferlab.model.classifier import Classifier
from transferlab.strategy.objective.domains import Domains

# image (N,3,H,W), label (N,), and with a target domain target_image (M,3,H,W)
Batch = Mapping[str, torch.Tensor]
# one entry for each finished epoch: `val/loss`, `trainable_stages`, ...
History = Sequence[Mapping[str, float]]

Phase = Literal["opening", "settled", "finished"]  # finished: nothing is left to try, the training ends
Solver = Literal["gradient", "lbfgs"]  # lbfgs: fitted to convergence on the features of a frozen backbone


class Unfreezing(Protocol):
    """How many stages train in an epoch: a pure function, so that a resumed run needs nothing more."""

    def trainable_stages(self, epoch: int, history: History, num_stages: int) -> int:
        """Number of stages that train in `epoch` (from 0), counted from the output; 0 trains the head alone.

        `history` holds the epochs before this one, `num_stages` is how many the backbone has.
        """
        ...

    def phase(self, history: History, num_stages: int) -> Phase:
        """Whether stages may still open after these epochs; only when none will may early stopping act."""
        ...


class Head(Protocol):
    """What turns features into class scores; made anew for each training."""

    solver: ClassVar[Solver] = "gradient"

    def build(self, num_features: int, num_classes: int) -> nn.Module:
        """A module from features `(N, num_features)` to class scores `(N, num_classes)`.

        Its first scores should be small, lest large gradients of a random head damage the backbone.
        """
        ...


@dataclass(frozen=True)
class Losses:
    """What an objective makes of a batch.

    Attributes:
        terms: scalars with gradients, by name; their sum is minimised.
        observed: scalars to look at, by name (an accuracy, a factor); no gradient flows from them.
    """

    terms: dict[str, torch.Tensor]
    observed: dict[str, torch.Tensor] = field(default_factory=dict)


class Objective(nn.Module, ABC):
    """What is minimised. Modules of its own (a critic) are trained and saved with the network."""

    uses_target: ClassVar[bool] = False  # whether it learns from unlabelled samples of a target domain
    notices: Sequence[str] = ()  # what `build` has decided and the user should know

    def __init__(self) -> None:
        super().__init__()
        self.domains = Domains()  # how batch norm sees source and target; replaced where it is not `mixed`

    def build(self, num_features: int, class_counts_C: torch.Tensor) -> None:
        """Create modules whose shape depends on the network and the classes; called once, before training."""

    def remember(self, network: Classifier) -> None:
        """Copy what is needed of the network; called once, after `build` and before a checkpoint loads."""

    def after_step(self, network: Classifier, step: int) -> None:
        """Follow the network; called once after each step of the optimizer, `step` counting them from 1."""

    @abstractmethod
    def losses(self, network: Classifier, batch: Batch, progress: float) -> Losses:
        """The loss of a batch; `progress` is the part of the training that is over, 0 to 1."""


class Penalty(nn.Module, ABC):
    """What is added to the loss for the weights themselves."""

    def remember(self, network: Classifier) -> None:
        """Note the weights that the training starts from; called once, before training."""

    @abstractmethod
    def penalty(self, network: Classifier) -> torch.Tensor:
        """A scalar with gradients."""
