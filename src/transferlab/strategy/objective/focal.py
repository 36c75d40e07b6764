"""Focal loss: samples that are easy already count less.

Lin et al., Focal loss for dense object detection, ICCV 2017, equation 4.
"""

from __future__ import annotations

import torch

from transferlab.config.bounds import NonNegativeFloat
from transferlab.model.classifier import Classifier
from transferlab.strategy.objective.cross_entropy import ClassWeights, accuracy, choose_weights
from transferlab.strategy.parts import Batch, Facts, Losses, Objective


def focal_loss(
    logits_NC: torch.Tensor,
    targets_NC: torch.Tensor,
    *,
    gamma: float,
    class_weights_C: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean over samples of -sum_c t_c w_c (1 - p_c)^gamma log p_c, divided by the mean weight; fp32.

    `targets_NC` are probabilities: one-hot for plain labels.
    """
    log_p = logits_NC.float().log_softmax(1)
    weights = targets_NC if class_weights_C is None else targets_NC * class_weights_C
    terms = weights * (1 - log_p.exp()) ** gamma * -log_p
    return terms.sum() / weights.sum()


class Focal(Objective):
    """Focal loss; `gamma=0` is cross-entropy. `class_weights` as in `CrossEntropy`."""

    def __init__(self, *, gamma: NonNegativeFloat = 2.0, class_weights: ClassWeights = "auto") -> None:
        super().__init__()
        self.gamma, self.class_weights = gamma, class_weights
        self.weights_C: torch.Tensor | None
        self.register_buffer("weights_C", None, persistent=False)

    def prepare(self, facts: Facts) -> None:
        """See `Part`."""
        weights_C, self.notes = choose_weights(self.class_weights, facts.class_counts_C)
        self.weights_C = weights_C

    def losses(self, network: Classifier, batch: Batch, progress: float) -> Losses:
        """See `Objective`."""
        logits_NC = network(batch["input"])
        one_hot = torch.nn.functional.one_hot(batch["label"], logits_NC.shape[1]).float()
        targets_NC = batch.get("label_probabilities", one_hot)
        loss = focal_loss(logits_NC, targets_NC, gamma=self.gamma, class_weights_C=self.weights_C)
        return Losses({"class_loss": loss}, {"accuracy": accuracy(logits_NC, batch)})
