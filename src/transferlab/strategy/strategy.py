"""A strategy: how a pretrained network is transferred to new data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from transferlab.config.bounds import PositiveInt, Share
from transferlab.config.instantiation import require
from transferlab.model.classifier import Classifier
from transferlab.strategy.learning_rates.schedule import LearningRates
from transferlab.strategy.objective.domains import BatchNorm, Domains
from transferlab.strategy.parts import Facts, Head, Objective, Part, Penalty, Solver, Unfreezing, named_parts

Selection = Literal["val_loss", "last", "entropy", "information_maximisation", "snd", "dev", "oracle"]


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """Head x unfreezing x objective x penalty (by name) x learning rates.

    conf/strategy/fine_tune.yaml describes the other arguments, `Domains` the kinds of `bn`. Of two domains,
    the validation loss of `selection` is the source's; an adaptation compares the bottleneck's features.
    """

    head: Head
    unfreezing: Unfreezing
    objective: Objective
    learning_rates: LearningRates
    penalty: dict[str, Any] = field(default_factory=dict)
    start_from: Literal["weights", "random", "model"] = "weights"
    head_start: Literal["fresh", "logistic"] = "fresh"
    selection: Selection = "val_loss"
    bottleneck_units: PositiveInt | None = None
    head_dropout: Share = 0.0
    bn: BatchNorm = "mixed"

    def __post_init__(self) -> None:
        require(self.head, "strategy.head", Head)
        require(self.unfreezing, "strategy.unfreezing", Unfreezing)
        require(self.objective, "strategy.objective", Objective)
        for name, part in self.penalty.items():
            require(part, f"strategy.penalty.{name}", Penalty)

    @property
    def solver(self) -> Solver:
        """Solver that fits the head: gradients, where a user's own does not state one."""
        return getattr(self.head, "solver", "gradient")

    @property
    def parts(self) -> dict[str, Part]:
        """The parts with a lifecycle, see `named_parts`."""
        return named_parts(self.objective, self.penalty)

    def begin(self, network: Classifier, facts: Facts) -> None:
        """Make the parts fit a network and its data, before it is trained."""
        for part in self.parts.values():
            part.prepare(facts)
        if self.objective.uses_target:
            self.objective.domains = Domains(network, bn=facts.bn)
        for part in self.parts.values():
            part.remember(network)
