"""Many heads of one structure in lockstep: one forward and backward pass for all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence

import torch

from transferlab.strategy.parts import overrides
from transferlab.training.heads.head_job import HeadJob, LabelledFeatures, Order, StepValues, Timetable
from transferlab.training.heads.softmax_loss import SoftmaxLoss, StackedSoftmaxLoss
from transferlab.training.heads.stacked_dropout import StackedDropout, dropped_shares
from transferlab.training.heads.stacked_head import StackedHeads, structure
from transferlab.training.heads.stacked_optimizer import options, stacked_optimizer

_SCORES_AT_ONCE = 2**24  # class scores in memory during validation
_ROWS_AT_ONCE = 8192
# Measured on one core with 32 MB of cache, features of 1280. More heads at once are slower for each of them.
_FLOATS_AT_ONCE = 2**22
_FLOATS_OF_A_PARAMETER = 5  # itself, its gradient, two of the optimizer, one in between
_WORTH_SHARING = 8  # so many heads that see the same batches are faster among themselves


def lockstep_groups(jobs: Sequence[HeadJob], features_ND: torch.Tensor, batch_size: int) -> list[list[int]]:
    """The jobs' positions, those that learn together in one list; alone where a job has to or may as well."""
    kinds = [_kind(job, features_ND) for job in jobs]
    seeds = [job.seed if job.head_dropout == 0 else None for job in jobs]
    alike = Counter(zip(kinds, seeds, strict=True))
    groups: dict[Hashable, list[int]] = {}
    for position, (kind, seed) in enumerate(zip(kinds, seeds, strict=True)):
        if kind is None:
            groups["alone", position] = [position]
        else:
            shared = seed is not None and alike[kind, seed] >= _WORTH_SHARING
            groups.setdefault((kind, seed if shared else None), []).append(position)
    return [
        some
        for group in groups.values()
        for some in _divided(group, jobs[group[0]], batch_size * features_ND.shape[1])
    ]


def _kind(job: HeadJob, features_ND: torch.Tensor) -> Hashable | None:
    """Equal for jobs that can learn together; None for one that cannot."""
    if job.penalties or SoftmaxLoss.of(job.objective) is None:
        return None
    if overrides(job.objective, "before_step", "after_step", "conclude"):
        return None
    if any(dropped_shares(job)) and (features_ND.device.type != "cpu" or 1 in dropped_shares(job)):
        return None  # a GPU draws other numbers for many than for one
    head = structure(job.head)
    optimizer = None if head is None else options(job.optimizer(features_ND.shape[1]))
    return None if optimizer is None else (head, optimizer)


def _divided(group: list[int], job: HeadJob, floats_of_a_batch: int) -> list[list[int]]:
    """A group as several of nearly equal size, each small enough for the cache."""
    parameters = sum(parameter.numel() for parameter in job.head.parameters())
    most = max(1, _FLOATS_AT_ONCE // (_FLOATS_OF_A_PARAMETER * parameters + floats_of_a_batch))
    num_groups = -(-len(group) // most)
    return [group[number::num_groups] for number in range(num_groups)]


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
        self.clip_norm = jobs[0].clip_norm  # equal in all, as the rest of the trainer's flags
        drops = any(any(dropped_shares(job)) for job in jobs)
        self.dropout = StackedDropout(jobs, num_features) if drops else None
        self._features = torch.empty(0, device=device)
        self._last_rates: list[float] = []

    def train_epoch(self, epoch: int) -> StepValues:
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
            if self.clip_norm is not None:
                gradients = _clipped(gradients, self.clip_norm)
            self.optimizer.step(parameters, gradients, rates_KJ[batch])
            losses.append(loss_J.detach())
            predicted_JB = scores_JCB.max(1).indices  # argmax, which is slow over any but the last dimension
            accuracies.append((predicted_JB == labels_KJB[batch]).float().mean(1))
        loss_KJ = torch.stack(losses)
        return StepValues(loss_KJ, {"class_loss": loss_KJ}, {"accuracy": torch.stack(accuracies)})

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


def _clipped(gradients_J: Sequence[torch.Tensor], norm: float) -> tuple[torch.Tensor, ...]:
    """Each head's gradients `(J, ...)`, together no longer than `norm`; as `clip_grad_norm_` does it."""
    squares = [gradient.flatten(1).square().sum(1) for gradient in gradients_J]
    factor_J = (norm / (torch.stack(squares).sum(0).sqrt() + 1e-6)).clamp(max=1.0)
    return tuple(g * factor_J.view(-1, *[1] * (g.ndim - 1)) for g in gradients_J)


def _loss(job: HeadJob) -> SoftmaxLoss:
    loss = SoftmaxLoss.of(job.objective)
    assert loss is not None, "checked when the jobs were grouped"
    return loss
