"""Many heads of one structure in lockstep: one forward and backward pass for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from transferlab.training.heads.head_job import HeadJob, LabelledFeatures, Order
from transferlab.training.heads.learner import StepFigures
from transferlab.training.heads.softmax_loss import SoftmaxLoss, StackedSoftmaxLoss
from transferlab.training.heads.stacked_dropout import StackedDropout, dropped_shares
from transferlab.training.heads.stacked_head import StackedHeads
from transferlab.training.heads.stacked_optimizer import stacked_optimizer
from transferlab.training.heads.timetable import Timetable

_SCORES_AT_ONCE = 2**24  # class scores in memory during validation
_ROWS_AT_ONCE = 8192


class StackedLearner:
    """A `Learner` of the heads of several jobs."""

    def __init__(
        self, jobs: Sequence[HeadJob], train: LabelledFeatures, order: Order, max_epochs: int
    ) -> None:
        self.jobs, self.train, self.order, self.max_epochs = list(jobs), train, order, max_epochs
        device, num_features = train.features_ND.device, train.features_ND.shape[1]
        heads = [job.head for job in jobs]
        self.heads = StackedHeads.of(heads, device)
        self.loss = StackedSoftmaxLoss([_loss(job) for job in jobs], self.heads.num_classes, device)
        optimizers = [job.optimizer(num_features) for job in jobs]
        self.optimizer = stacked_optimizer(optimizers, heads, device)
        drops = any(any(dropped_shares(job)) for job in jobs)
        self.dropout = StackedDropout(jobs, num_features) if drops else None
        self._features = torch.empty(0, device=device)
        self._last_rates: list[float] = []

    def train_epoch(self, epoch: int) -> StepFigures:
        """See `Learner`."""
        rows_KJB = self._rows(epoch)
        labels_KJB = self.train.labels_N[rows_KJB]
        steps = len(rows_KJB)
        rates_KJ = self._rates(epoch, steps)
        losses, accuracies = [], []
        for batch in range(steps):
            features, factors = self._batch(rows_KJB[batch], epoch, batch)
            scores_JCB = self.heads.scores(features, factors=factors)
            loss_J = self.loss(scores_JCB, labels_KJB[batch])
            parameters = list(self.heads.parameters.values())
            gradients = torch.autograd.grad(loss_J.sum(), parameters)
            self.optimizer.step(parameters, gradients, rates_KJ[batch])
            losses.append(loss_J.detach())
            predicted_JB = scores_JCB.max(1).indices  # argmax, which is slow over any but the last dimension
            accuracies.append((predicted_JB == labels_KJB[batch]).float().mean(1))
        loss_KJ = torch.stack(losses)
        return StepFigures(loss_KJ, {"class_loss": loss_KJ}, {"accuracy": torch.stack(accuracies)})

    def _rows(self, epoch: int) -> torch.Tensor:
        """Of each step; `(K, 1, B)` where all heads see the same batches."""
        orders = {job.seed: self.order(job.seed, epoch) for job in self.jobs}
        apart = len(orders) > 1 or (self.dropout is not None and self.dropout.before_the_head)
        rows = [orders[job.seed] for job in (self.jobs if apart else self.jobs[:1])]
        return torch.stack(rows, dim=1).to(self.train.features_ND.device)

    def _rates(self, epoch: int, steps: int) -> torch.Tensor:
        timetable = Timetable(steps, self.max_epochs)
        rates = [
            [timetable.rate(job.learning_rates, 0, epoch * steps + batch) for job in self.jobs]
            for batch in range(steps)
        ]
        self._last_rates = rates[-1]
        return torch.tensor(rates, dtype=torch.float64, device=self.train.features_ND.device)

    def _batch(
        self, rows_JB: torch.Tensor, epoch: int, batch: int
    ) -> tuple[torch.Tensor, Sequence[torch.Tensor | None]]:
        """The features of a step, and the factors of the dropout layers."""
        shape = (*rows_JB.shape, self.train.features_ND.shape[1])
        if self._features.shape != shape:
            self._features = self.train.features_ND.new_empty(shape)
        torch.index_select(self.train.features_ND, 0, rows_JB.flatten(), out=self._features.flatten(0, 1))
        factors: Sequence[torch.Tensor | None] = (None,)
        if self.dropout is not None:
            factors = self.dropout.draw(epoch, batch, rows_JB.shape[1])
        before, *within = factors
        if before is not None:
            self._features.mul_(before)
        return self._features if len(rows_JB) > 1 else self._features[0], within

    def rates(self) -> list[dict[str, float]]:
        """See `Learner`."""
        return [{"head": rate} for rate in self._last_rates]

    @torch.no_grad()
    def scores(self, features_ND: torch.Tensor) -> Iterator[torch.Tensor]:
        """See `Learner`."""
        at_once = max(1, _SCORES_AT_ONCE // max(1, len(features_ND) * self.heads.num_classes))
        for start in range(0, len(self.jobs), at_once):
            heads = self.heads.some(slice(start, start + at_once))
            parts = [heads.scores(rows) for rows in features_ND.split(_ROWS_AT_ONCE)]
            yield from torch.cat(parts, dim=2).mT

    def state(self, place: int) -> dict[str, torch.Tensor]:
        """See `Learner`."""
        return self.heads.state(place)

    def parts(self, place: int) -> dict[str, dict[str, torch.Tensor]]:
        """See `Learner`: objectives in lockstep have no state."""
        return {}

    def keep(self, places: Sequence[int]) -> None:
        """See `Learner`."""
        self.jobs = [self.jobs[place] for place in places]
        self.heads = self.heads.some(places)
        self.loss.keep(places)
        self.optimizer.keep(places)
        if self.dropout is not None:
            self.dropout.keep(places)


def _loss(job: HeadJob) -> SoftmaxLoss:
    loss = SoftmaxLoss.of(job.objective)
    assert loss is not None, "checked when the jobs were grouped"
    return loss
