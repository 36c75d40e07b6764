"""The last stages train; the first ones, whose features are the most general, stay as they are.

Yosinski et al., How transferable are features in deep neural networks?, NeurIPS 2014.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from transferlab.config.bounds import NonNegativeInt
from transferlab.strategy.parts import History, Phase, Unfreezing


@dataclass(frozen=True, kw_only=True)
class Last(Unfreezing):
    """The last `num_stages` stages, always; all of them where the backbone has fewer."""

    opens_nothing_with: ClassVar[Mapping[str, Any] | None] = {"num_stages": 0}

    num_stages: NonNegativeInt = 1

    def trainable_stages(self, epoch: int, history: History, num_stages: int) -> int:
        """See `Unfreezing`."""
        return min(self.num_stages, num_stages)

    def phase(self, history: History, num_stages: int) -> Phase:
        """See `Unfreezing`."""
        return "settled"
