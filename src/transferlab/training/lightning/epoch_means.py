"""Means of what an epoch's steps observed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


class EpochMeans:
    """Adds figures up on their device, so that no step waits for a value, and travels in checkpoints."""

    def __init__(self) -> None:
        self.sums: dict[str, torch.Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, figures: Mapping[str, torch.Tensor]) -> None:
        """Take scalars, by name; one that some steps lack is averaged over the others."""
        for name, figure in figures.items():
            figure = figure.detach().float()
            self.sums[name] = self.sums[name].to(figure.device) + figure if name in self.sums else figure
            self.counts[name] = self.counts.get(name, 0) + 1

    def __bool__(self) -> bool:
        return bool(self.counts)

    def means(self) -> dict[str, float]:
        """The mean of each figure."""
        return {name: (total / self.counts[name]).item() for name, total in self.sums.items()}

    def clear(self) -> None:
        """Begin an epoch."""
        self.sums, self.counts = {}, {}

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"sums": {name: total.cpu() for name, total in self.sums.items()}, "counts": dict(self.counts)}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.sums, self.counts = dict(state["sums"]), dict(state["counts"])
