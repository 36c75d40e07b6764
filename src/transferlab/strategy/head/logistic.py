"""Logistic regression on the features of a frozen backbone: the linear probe without learning rates.

Fitted to convergence by L-BFGS, its L2 strength chosen on validation samples, as in Kornblith, Shlens & Le,
Do better ImageNet models transfer better?, CVPR 2019.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import nn

from transferlab.config.bounds import NotEmpty, PositiveFloat, PositiveInt
from transferlab.run.errors import UserError
from transferlab.strategy.head.linear import small_linear
from transferlab.strategy.head.logistic_regression import Choice, choose_strength
from transferlab.strategy.parts import Head, Solver

# From 1 sample per class, which 0.1 suits best, to many classes, which 1e-6 does
_STRENGTHS = (1.0, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6, 3e-7, 1e-7)

Samples = tuple[torch.Tensor, torch.Tensor]  # features (N, D) and class codes (N,)


@dataclass(frozen=True)
class FittedHead:
    """A fitted linear head."""

    state: dict[str, torch.Tensor]  # of the module that `build` makes
    record: dict[str, Any]  # the chosen strength and the path to it, for result.json
    notes: list[str]  # what the user should know


@dataclass(frozen=True, kw_only=True)
class Logistic(Head):
    """One linear layer, fitted to convergence; conf/strategy/head/logistic.yaml describes the arguments."""

    solver: ClassVar[Solver] = "lbfgs"

    strengths: Annotated[Sequence[PositiveFloat], NotEmpty()] = _STRENGTHS
    tolerance: PositiveFloat = 1e-4
    max_iterations: PositiveInt = 1000

    def build(self, num_features: int, num_classes: int) -> nn.Module:
        """See `Head`; what it predicts before it is fitted means nothing."""
        return small_linear(num_features, num_classes)

    def fit(
        self,
        train: Samples,
        val: Samples | None,
        *,
        num_classes: int,
        class_weights_C: torch.Tensor | None = None,
        out_of_time: Callable[[], bool] = lambda: False,
    ) -> FittedHead:
        """Choose a strength and fit.

        Args:
            train: features `(N, D)` of finite numbers and class codes `(N,)`.
            val: the same for choosing the strength; None needs a single one.
            num_classes: how many scores there are; classes may be absent.
            class_weights_C: weight of each class's training samples.
            out_of_time: True ends the path with the strengths that have been fitted, one at least.

        Raises:
            UserError: several strengths without validation samples, or features that are not finite.
        """
        has_val = val is not None and len(val[1]) > 0
        if not has_val and len(self.strengths) > 1:
            raise UserError(
                "strategy.head.strengths: one is chosen by the validation loss, and there are no validation "
                "samples. Set aside some, e.g. data.val_fraction=0.2, or give a single strength, e.g. "
                "strategy.head.strengths=[1e-4]."
            )
        choice = choose_strength(
            _arrays(train),
            _arrays(val) if val is not None and has_val else None,
            self.strengths,
            num_classes=num_classes,
            class_weights_C=None if class_weights_C is None else class_weights_C.double().cpu().numpy(),
            tolerance=self.tolerance,
            max_iterations=self.max_iterations,
            out_of_time=out_of_time,
        )
        state = {
            "weight": torch.from_numpy(choice.fit.weight_CD).float(),
            "bias": torch.from_numpy(choice.fit.bias_C).float(),
        }
        record = {**asdict(choice.best), "strengths": [asdict(tried) for tried in choice.path]}
        notes = [*self._unconverged(choice), *(_left_out(choice) or self._at_the_edge(choice))]
        return FittedHead(state, record, notes)

    def _unconverged(self, choice: Choice) -> list[str]:
        open_ends = [tried for tried in choice.path if not tried.converged]
        if not open_ends:
            return []
        strengths = ", ".join(f"{tried.strength:g}" for tried in open_ends)
        if max(tried.iterations for tried in open_ends) >= self.max_iterations:
            hint = f"Raise strategy.head.max_iterations={self.max_iterations}"
        else:  # the line search finds nothing lower in float64
            hint = f"Raise strategy.head.tolerance={self.tolerance:g}"
        return [
            f"strategy.head: the logistic regression has not converged at strength {strengths}. "
            f"{hint}, or leave these strengths out."
        ]

    def _at_the_edge(self, choice: Choice) -> list[str]:
        listed, best = self.strengths, choice.best.strength
        if len(listed) == 1 or best not in (min(listed), max(listed)):
            return []
        kind, beyond = ("weakest", "weaker") if best == min(listed) else ("strongest", "stronger")
        return [
            f"strategy.head.strengths: {best:g}, the {kind} of them, validates best; {beyond} ones may be "
            "better still."
        ]


def _left_out(choice: Choice) -> list[str]:
    if not choice.left_out:
        return []
    strengths = ", ".join(f"{strength:g}" for strength in choice.left_out)
    return [
        f"trainer.max_time: the time was over before strategy.head.strengths {strengths} had been fitted; "
        f"{choice.best.strength:g} validates best of the {len(choice.path)} before."
    ]


def _arrays(samples: Samples) -> tuple[Any, Any]:
    features_ND, labels_N = samples
    return features_ND.detach().double().cpu().numpy(), labels_N.cpu().numpy()
