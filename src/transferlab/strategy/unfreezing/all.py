"""Every stage trains from the first epoch (plain fine-tuning)."""

from __future__ import annotations

from dataclasses import dataclass

from transferlab.strategy.parts import History, Phase, Unfreezing


@dataclass(frozen=True)
class All(Unfreezing):
    """All stages, always."""

    def trainable_stages(self, epoch: int, history: History, num_stages: int) -> int:
        """See `Unfreezing`."""
        return num_stages

    def phase(self, history: History, num_stages: int) -> Phase:
        """See `Unfreezing`."""
        return "settled"
