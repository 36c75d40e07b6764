"""MCC: target predictions that do not confuse classes with each other.

Jin et al., Minimum class confusion for versatile domain adaptation, ECCV 2020. Nothing is aligned: the
confusion is read off the target's predictions alone, so it needs no critic and also suits a frozen backbone.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from transferlab.config.bounds import PositiveFloat, Share
from transferlab.model.classifier import Classifier
from transferlab.strategy.objective.adaptation import (
    Adaptation,
    Horizon,
    Steepness,
    Weight,
    certainty_weights,
    entropy,
)
from transferlab.strategy.objective.domains import full_precision
from transferlab.strategy.parts import Batch, Losses, Objective


def class_confusion(logits_MC: torch.Tensor, *, temperature: float) -> torch.Tensor:
    """The mean share of each class's predictions that goes to other classes: 0 to 1 - 1/C.

    Softmax at `temperature`, samples weighted by certainty to a mean of 1, the weighted correlation of
    classes, normalised by row, off the diagonal. In fp32. A class that nothing is predicted to be of counts
    as not confused.
    """
    scaled_MC = logits_MC.float() / temperature
    probabilities_MC = scaled_MC.softmax(1)
    weights_M = certainty_weights(entropy(scaled_MC))
    weighted_MC = probabilities_MC * (weights_M / weights_M.mean()).unsqueeze(1)
    correlation_CC = weighted_MC.T @ probabilities_MC
    tiny = torch.finfo(torch.float32).tiny
    confusion_CC = correlation_CC / correlation_CC.sum(1, keepdim=True).clamp_min(tiny)
    return (confusion_CC.sum() - confusion_CC.diagonal().sum()) / logits_MC.shape[1]


class MCC(Objective):
    """Source cross-entropy plus lambda times the class confusion of the target's predictions."""

    uses_target: ClassVar[bool] = True

    def __init__(
        self,
        *,
        temperature: PositiveFloat = 2.5,
        weight: Weight = 1.0,
        steepness: Steepness = 10.0,
        horizon: Horizon = 1.0,
        label_smoothing: Share = 0.0,
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.adaptation = Adaptation(weight, steepness, horizon, label_smoothing)

    def losses(self, network: Classifier, batch: Batch, progress: float) -> Losses:
        """See `Objective`."""
        source_ND, target_MD = self.domains.features(network, batch)
        logits_NC, logits_MC = self.domains.scores(network, source_ND, target_MD)
        factor = self.adaptation.factor(progress)
        with full_precision(logits_MC):
            confusion = class_confusion(logits_MC, temperature=self.temperature)
        term = {"confusion_loss": factor * confusion}
        observed = {"class_confusion": confusion, "entropy_target": entropy(logits_MC.detach()).mean()}
        return self.adaptation.losses(logits_NC, batch, factor, term, observed)
