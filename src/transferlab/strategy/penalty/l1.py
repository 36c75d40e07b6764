"""L1: the sum of the absolute values of the trainable weights (Tibshirani 1996)."""

from __future__ import annotations

import torch

from transferlab.config.bounds import NonNegativeFloat
from transferlab.model.classifier import Classifier
from transferlab.strategy.parts import Penalty


class L1(Penalty):
    """`strength` times the sum of absolute weights; norms and biases are left out."""

    def __init__(self, *, strength: NonNegativeFloat = 1e-5) -> None:
        super().__init__()
        self.strength = strength

    def penalty(self, network: Classifier) -> torch.Tensor:
        """See `Penalty`."""
        weights = [p for p in network.parameters() if p.requires_grad and p.ndim > 1]
        return self.strength * torch.stack([weight.abs().sum() for weight in weights]).sum()
