"""Self-training: the network learns its own sure predictions of the target as if they were labels.

Lee, Pseudo-label, ICML 2013 workshops; with a teacher that is the moving average of the network, and only
where it is sure: French et al., Self-ensembling for visual domain adaptation, ICLR 2018. The threshold's
form, pseudo-labels that are hard and averaged over the whole batch: Sohn et al., FixMatch, NeurIPS 2020.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch.nn import functional

from transferlab.config.bounds import Probability, Share
from transferlab.model.classifier import Classifier
from transferlab.strategy.objective.adaptation import Adaptation, Horizon, Steepness, Weight, entropy
from transferlab.strategy.objective.teacher import Teacher, average_decay
from transferlab.strategy.parts import Batch, Losses, Objective


def pseudo_labels(logits_MC: torch.Tensor, *, threshold: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The most probable classes (M,), and whether (M,) their probability is `threshold` or more."""
    probabilities_M, labels_M = logits_MC.float().softmax(1).max(1)
    return labels_M, probabilities_M >= threshold


def pseudo_label_loss(logits_MC: torch.Tensor, labels_M: torch.Tensor, sure_M: torch.Tensor) -> torch.Tensor:
    """Cross-entropies of the sure samples, divided by the number of all: few sure ones, little weight."""
    losses_M = functional.cross_entropy(logits_MC.float(), labels_M, reduction="none")
    return (losses_M * sure_M).mean()


class SelfTraining(Objective):
    """Source cross-entropy plus lambda times the cross-entropy of a teacher's sure predictions of the target.

    Teacher and network see the same image, augmented once (French et al. and FixMatch augment it twice, the
    network's more strongly); the teacher's dropout and batch norm are those of evaluation.
    """

    uses_target: ClassVar[bool] = True

    def __init__(
        self,
        *,
        threshold: Probability = 0.95,
        decay: Share = 0.99,
        weight: Weight = 1.0,
        steepness: Steepness = 10.0,
        horizon: Horizon = 1.0,
        label_smoothing: Share = 0.0,
    ) -> None:
        super().__init__()
        self.threshold, self.decay = threshold, decay
        self.adaptation = Adaptation(weight, steepness, horizon, label_smoothing)

    def remember(self, network: Classifier) -> None:
        """See `Part`."""
        self.teacher = Teacher(network)

    def after_step(self, network: Classifier, step: int) -> None:
        """See `Part`."""
        self.teacher.follow(network, average_decay(step, self.decay))

    def losses(self, network: Classifier, batch: Batch, progress: float) -> Losses:
        """See `Objective`."""
        source_ND, target_MD = self.domains.features(network, batch)
        logits_NC, logits_MC = self.domains.scores(network, source_ND, target_MD)
        teacher_MC = self.teacher.scores(network, batch["target_input"])
        labels_M, sure_M = pseudo_labels(teacher_MC, threshold=self.threshold)
        factor = self.adaptation.factor(progress)
        loss = pseudo_label_loss(logits_MC, labels_M, sure_M)
        observed = {
            "sure_share": sure_M.float().mean(),
            "teacher_agreement": (logits_MC.argmax(1) == labels_M).float().mean(),
            "entropy_target": entropy(teacher_MC).mean(),
        }
        term = {"pseudo_label_loss": factor * loss}
        return self.adaptation.losses(logits_NC, batch, factor, term, observed)
