"""Parts of recipes in `recipe_configs/` that are not shipped."""

from __future__ import annotations

from dataclasses import dataclass

from transferlab.strategy.parts import History, Phase


@dataclass(frozen=True)
class HeadFirst:
    """The head alone for an epoch, then every stage: fastai's `fine_tune`."""

    def trainable_stages(self, epoch: int, history: History, num_stages: int) -> int:
        """See `transferlab.strategy.parts.Unfreezing`."""
        return 0 if epoch == 0 else num_stages

    def phase(self, history: History, num_stages: int) -> Phase:
        """See `transferlab.strategy.parts.Unfreezing`."""
        return "settled" if history else "opening"
