"""The objectives that depend on class scores alone, as one formula: for many heads in one go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from transferlab.strategy.objective.cross_entropy import CrossEntropy
from transferlab.strategy.objective.focal import Focal
from transferlab.strategy.objective.logit_adjustment import LogitAdjustment
from transferlab.strategy.parts import Objective


@dataclass(frozen=True)
class SoftmaxLoss:
    """Weighted mean over samples of -(1 - p_y)^gamma log p_y, p the softmax of scores plus offsets."""

    weights_C: torch.Tensor | None = None  # of the classes; None: all 1
    offsets_C: torch.Tensor | None = None  # added to the scores; None: none
    label_smoothing: float = 0.0  # share of the target spread over all classes, for `gamma=0`
    gamma: float = 0.0  # of the focal loss

    @staticmethod
    def of(objective: Objective) -> SoftmaxLoss | None:
        """An objective in this form; None if it is not known to have it (a user's subclass, say)."""
        if type(objective) is CrossEntropy:
            return SoftmaxLoss(objective.weights_C, label_smoothing=objective.label_smoothing)
        if type(objective) is Focal:
            return SoftmaxLoss(objective.weights_C, gamma=objective.gamma)
        if type(objective) is LogitAdjustment:
            offsets_C = objective.tau * objective.log_priors_C
            return SoftmaxLoss(offsets_C=offsets_C, label_smoothing=objective.label_smoothing)
        return None


class StackedSoftmaxLoss:
    """The losses of J heads, each with its own settings."""

    def __init__(self, losses: Sequence[SoftmaxLoss], num_classes: int, device: torch.device) -> None:
        self.losses, self.num_classes, self.device = list(losses), num_classes, device
        self._stack()

    def keep(self, places: Sequence[int]) -> None:
        """Go on with these heads alone."""
        self.losses = [self.losses[place] for place in places]
        self._stack()

    def _stack(self) -> None:
        self.weights_JC = self._rows([loss.weights_C for loss in self.losses], 1.0)
        self.offsets_JC = self._rows([loss.offsets_C for loss in self.losses], 0.0)
        self.smoothing_J = self._column([loss.label_smoothing for loss in self.losses])
        gammas = [loss.gamma for loss in self.losses]
        self.gamma_J1: float | torch.Tensor | None = gammas[0]  # as a number, squaring is fast
        if len(set(gammas)) > 1:
            self.gamma_J1 = torch.tensor(gammas, device=self.device)[:, None]
        elif gammas[0] == 0:
            self.gamma_J1 = None

    def _rows(self, rows: list[torch.Tensor | None], default: float) -> torch.Tensor | None:
        if all(row is None for row in rows):
            return None
        plain_C = torch.full((self.num_classes,), default)
        return torch.stack([(plain_C if row is None else row).to(self.device) for row in rows])

    def _column(self, values: list[float]) -> torch.Tensor | None:
        return torch.tensor(values, device=self.device) if any(values) else None

    def __call__(self, scores_JCB: torch.Tensor, labels_JB: torch.Tensor) -> torch.Tensor:
        """The loss of each head `(J,)`; the labels may be `(1, B)` where all heads see the same batch."""
        if self.offsets_JC is not None:
            scores_JCB = scores_JCB + self.offsets_JC[:, :, None]
        log_p_JCB = scores_JCB.log_softmax(1)
        labels_JB = labels_JB.expand(len(scores_JCB), -1)
        own_JB = log_p_JCB.gather(1, labels_JB[:, None]).squeeze(1)
        losses_JB = -own_JB
        if self.gamma_J1 is not None:
            losses_JB = losses_JB * (1 - own_JB.exp()) ** self.gamma_J1
        if self.weights_JC is None:
            loss_J = losses_JB.mean(1)
        else:
            weights_JB = self.weights_JC.gather(1, labels_JB)
            total_J = weights_JB.sum(1)
            loss_J = (weights_JB * losses_JB).sum(1) / total_J
        if self.smoothing_J is None:
            return loss_J
        if self.weights_JC is None:
            spread_J = -log_p_JCB.mean((1, 2))
        else:
            weighted_J = (self.weights_JC[:, :, None] * log_p_JCB).sum((1, 2))
            spread_J = -weighted_J / (total_J * self.num_classes)
        return (1 - self.smoothing_J) * loss_J + self.smoothing_J * spread_J
