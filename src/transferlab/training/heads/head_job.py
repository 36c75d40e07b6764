"""The terms in which heads are fitted: labelled features, jobs, learners, and fitted heads."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

import torch
from torch import nn

from transferlab.backbone.network import Backbone
from transferlab.model.classifier import Classifier
from transferlab.strategy.learning_rates.schedule import LearningRates, parameter_groups
from transferlab.strategy.parts import Objective, Part, Penalty, named_parts
from transferlab.training.losses import NotFiniteError

Order = Callable[[int, int], torch.Tensor]  # (seed, epoch) -> rows of the samples, (batches, batch size)


@dataclass(frozen=True)
class LabelledFeatures:
    """Features of a split, by a frozen backbone."""

    features_ND: torch.Tensor  # fp32, in memory or memory-mapped
    labels_N: torch.Tensor  # class codes


@dataclass(frozen=True, kw_only=True)
class HeadJob:
    """One head to fit; nothing in it is changed."""

    head: nn.Module  # with its initial weights
    objective: Objective  # as `Strategy.begin` leaves it
    learning_rates: LearningRates  # the head's, and those of the objective's own modules
    seed: int  # of the order of the samples and of dropout
    head_dropout: float = 0.0  # share of the features dropped before the head, in training
    penalties: Mapping[str, Penalty] = field(default_factory=dict)  # by name, as in a strategy
    clip_norm: float | None = None  # of all gradients of a step together

    @property
    def parts(self) -> dict[str, Part]:
        """Parts with a lifecycle, see `named_parts`."""
        return named_parts(self.objective, self.penalties)

    def network(self, num_features: int) -> Classifier:
        """The head as a classifier of features, which stand in for images."""
        backbone = cast(Backbone, _CachedBackbone(num_features))
        return Classifier(backbone, self.head, head_dropout=self.head_dropout)

    def optimizer(self, num_features: int) -> torch.optim.Optimizer:
        """The optimizer that a fit of the whole network would have, the backbone's groups left out."""
        rates = self.learning_rates
        groups = parameter_groups(self.network(num_features), self.objective, rates)
        return rates.make_optimizer(groups)


@dataclass
class HeadFit:
    """A fitted head, filled while it is fitted."""

    # an entry for each finished epoch, with the keys of a fit by Lightning
    history: list[dict[str, float]] = field(default_factory=list)
    # the head's state dict at the selected epoch; None if no epoch was finished
    state: dict[str, torch.Tensor] | None = None
    epoch: int | None = None  # the selected one
    # the state dicts, at that epoch, of those of `HeadJob.parts` that conclude the fit
    parts: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)
    # why the fit ended early; history and states are then of the epochs before
    error: NotFiniteError | None = None


class _CachedBackbone(nn.Module):
    """A backbone whose features are computed already: no stages, no parameters."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features
        self.network = nn.Identity()
        self.stages: tuple[()] = ()

    def forward(self, features_ND: torch.Tensor) -> torch.Tensor:
        return features_ND


@dataclass(frozen=True)
class StepValues:
    """Values of each step of an epoch, for each head: all tensors are `(steps, heads)`."""

    loss: torch.Tensor  # the sum of the terms
    terms: dict[str, torch.Tensor]  # of the loss, by name
    observed: dict[str, torch.Tensor]  # what else the objective looks at, by name


class Learner(Protocol):
    """One or more heads in training; `place` counts those that are still in it."""

    def train_epoch(self, epoch: int) -> StepValues:
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


@dataclass(frozen=True)
class Timetable:
    """Progress and rates in a training of `max_epochs` (-1: no end is known), of `steps` steps each."""

    steps: int
    max_epochs: int

    def progress(self, step: int) -> float:
        """The share of the training that is over before `step`; 0 throughout where no end is known."""
        total = self.steps * self.max_epochs if self.max_epochs >= 0 else math.inf
        return min(step / total, 1.0)

    def rate(self, rates: LearningRates, stage: int, step: int) -> float:
        """The learning rate of a group that trains from the start; `stage` as in `LearningRates`."""
        return rates.rate(stage, progress=self.progress(step), epochs=step / self.steps, opened=0.0)
