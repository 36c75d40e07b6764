"""The last stages train; the first ones, whose features are the most general, stay as they are.

Yosinski et al., How transferable are features in deep neural networks?, NeurIPS 2014.
"""

from __future__ import annotations

from dataclasses import dataclass

from transferlab.run.errors import UserError
from transferlab.strategy.parts import History, Phase


@dataclass(frozen=True, kw_only=True)
class Last:
    """The last `num_stages` stages, always; all of them where the backbone has fewer."""

    num_stages: int = 1

    def __post_init__(self) -> None:
        if self.num_stages < 0:
            raise UserError(f"strategy.unfreezing.num_stages={self.num_stages}: must not be below 0.")

    def trainable_stages(self, epoch: int, history: History, num_stages: int) -> int:
        """See `Unfreezing`."""
        return min(self.num_stages, num_stages)

    def phase(self, history: History, num_stages: int) -> Phase:
        """See `Unfreezing`."""
        return "settled"
