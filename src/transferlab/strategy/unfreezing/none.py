"""No stage trains: the backbone only extracts features, the head learns."""

from __future__ import annotations

from dataclasses import dataclass

from transferlab.strategy.parts import History, Phase


@dataclass(frozen=True)
class NoStage:
    """The head alone, always."""

    def trainable_stages(self, epoch: int, history: History, num_stages: int) -> int:
        """See `Unfreezing`."""
        return 0

    def phase(self, history: History, num_stages: int) -> Phase:
        """See `Unfreezing`."""
        return "settled"
