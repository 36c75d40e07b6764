"""Logit adjustment: train as if rare classes were more likely than they are, so that none is neglected.

Menon et al., Long-tail learning via logit adjustment, ICLR 2021, equation 10.
"""

from __future__ import annotations

import torch

from transferlab.config.bounds import NonNegativeFloat, Share
from transferlab.model.classifier import Classifier
from transferlab.strategy.objective.cross_entropy import accuracy, labelled_loss
from transferlab.strategy.parts import Batch, Facts, Losses, Objective


def log_priors(class_counts_C: torch.Tensor) -> torch.Tensor:
    """The logarithm of each class's share of the samples; a class without any counts as one sample."""
    counts = class_counts_C.float().clamp_min(1)
    return (counts / counts.sum()).log()


class LogitAdjustment(Objective):
    """Cross-entropy of the scores plus `tau` times the classes' log-priors; tests use the bare scores."""

    def __init__(self, *, tau: NonNegativeFloat = 1.0, label_smoothing: Share = 0.0) -> None:
        super().__init__()
        self.tau, self.label_smoothing = tau, label_smoothing
        self.log_priors_C: torch.Tensor

    def prepare(self, facts: Facts) -> None:
        """See `Part`."""
        self.register_buffer("log_priors_C", log_priors(facts.class_counts_C), persistent=False)

    def losses(self, network: Classifier, batch: Batch, progress: float) -> Losses:
        """See `Objective`."""
        logits_NC = network(batch["input"])
        adjusted_NC = logits_NC.float() + self.tau * self.log_priors_C
        loss = labelled_loss(adjusted_NC, batch, label_smoothing=self.label_smoothing)
        return Losses({"class_loss": loss}, {"accuracy": accuracy(logits_NC, batch)})
