"""No stage trains: the backbone only extracts features, the head learns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from transferlab.strategy.parts import History, Phase, Unfreezing


@dataclass(frozen=True)
class NoStage(Unfreezing):
    """The head alone, always."""

    opens_nothing_with: ClassVar[Mapping[str, Any] | None] = {}

    def trainable_stages(self, epoch: int, history: History, num_stages: int) -> int:
        """See `Unfreezing`."""
        return 0

    def phase(self, history: History, num_stages: int) -> Phase:
        """See `Unfreezing`."""
        return "settled"
