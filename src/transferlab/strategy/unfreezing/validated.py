"""Validated unfreezing: open the next stage when validation has stopped improving.

Each depth trains until the validation loss has not improved for `patience` epochs; then the next stage
opens. The depth whose best epoch has the lowest validation loss wins (its weights are those that
`strategy.selection=val_loss` restores). Everything is computed from the recorded history.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from transferlab.config.bounds import NonNegativeFloat, NonNegativeInt, PositiveInt
from transferlab.strategy.parts import History, Phase, Unfreezing


def depth_after(history: History, *, patience: int, min_delta: float, first: int, num_stages: int) -> int:
    """The depth to train next, given the epochs so far; `num_stages + 1` when the deepest has stalled too."""
    depth, best, waited = first, float("inf"), 0
    for entry in history:
        loss = entry.get("val/loss")
        if loss is None:
            continue
        if loss < best - min_delta:
            best, waited = loss, 0
        else:
            waited += 1
        if waited >= patience:
            depth, best, waited = depth + 1, float("inf"), 0
    return min(depth, num_stages + 1)


def depth_curve(history: History) -> dict[int, float]:
    """The best validation loss at each depth that was trained: the curve depth -> validation."""
    curve: dict[int, float] = {}
    for entry in history:
        if "val/loss" in entry:
            depth = int(entry["trainable_stages"])
            curve[depth] = min(curve.get(depth, float("inf")), entry["val/loss"])
    return curve


@dataclass(frozen=True, kw_only=True)
class Validated(Unfreezing):
    """One more stage after `patience` epochs without a validation loss better by more than `min_delta`."""

    searches_depth: ClassVar[bool] = True

    patience: PositiveInt = 3
    min_delta: NonNegativeFloat = 0.0
    first: NonNegativeInt = 0

    def trainable_stages(self, epoch: int, history: History, num_stages: int) -> int:
        """See `Unfreezing`."""
        return min(self._depth(history[:epoch], num_stages), num_stages)

    def phase(self, history: History, num_stages: int) -> Phase:
        """See `Unfreezing`; finished when the deepest stage has stalled too."""
        depth = self._depth(history, num_stages)
        if depth < num_stages:
            return "opening"
        return "settled" if depth == num_stages else "finished"

    def _depth(self, history: History, num_stages: int) -> int:
        return depth_after(
            history,
            patience=self.patience,
            min_delta=self.min_delta,
            first=min(self.first, num_stages),
            num_stages=num_stages,
        )
