"""MDD: an adversarial classifier that agrees with the head on the source and disagrees on the target.

Zhang et al., Bridging theory and algorithm for domain adaptation, ICML 2019: the margin disparity
discrepancy, with features that bring it down through a gradient reversal (section 4).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch.nn import functional

from transferlab.config.bounds import NonNegativeInt, PositiveFloat, PositiveInt, Share
from transferlab.model.classifier import Classifier
from transferlab.strategy.objective.adaptation import Adaptation, Horizon, Steepness, Weight, entropy
from transferlab.strategy.objective.critic import behind_reversal, make_critic
from transferlab.strategy.parts import Batch, Facts, Losses, Objective


def disagreement(logits_NC: torch.Tensor, labels_N: torch.Tensor) -> torch.Tensor:
    """Mean of -log(1 - p_label): 0 where the label has no probability. Fp32, finite for finite logits.

    log(1 - p_label) is the difference of two sums of exponentials, over the other classes and over all; the
    authors and TLlib take the logarithm of a clamped probability, which has no gradient where it matters.
    """
    scores = logits_NC.float()
    others = scores.scatter(1, labels_N.unsqueeze(1), -torch.inf)
    return (scores.logsumexp(1) - others.logsumexp(1)).mean()


def adversary_loss(
    logits_NC: torch.Tensor,
    logits_MC: torch.Tensor,
    adversary_NC: torch.Tensor,
    adversary_MC: torch.Tensor,
    *,
    margin: float,
) -> torch.Tensor:
    """Loss of the adversary: minus the margin disparity discrepancy.

    Args:
        logits_NC: the head's, on the source. Only its choice of a class matters; no gradient reaches it.
        logits_MC: the same on the target.
        adversary_NC: the adversary's logits on the source.
        adversary_MC: the adversary's logits on the target.
        margin: gamma = exp(rho), the weight of the source.
    """
    agreement = functional.cross_entropy(adversary_NC.float(), logits_NC.argmax(1))
    return margin * agreement + disagreement(adversary_MC, logits_MC.argmax(1))


class MDD(Objective):
    """Source cross-entropy plus the reversed loss of an adversarial classifier.

    `weight` is 0.1 by default, as in the authors' code: the reversal's factor, which keeps the features from
    following an adversary whose loss weighs `margin` times that of the head.
    """

    uses_target: ClassVar[bool] = True
    adapts_features_only: ClassVar[bool] = True

    def __init__(
        self,
        *,
        margin: PositiveFloat = 4.0,
        weight: Weight = 0.1,
        steepness: Steepness = 10.0,
        horizon: Horizon = 1.0,
        hidden_units: PositiveInt = 256,
        hidden_layers: NonNegativeInt = 1,
        label_smoothing: Share = 0.0,
    ) -> None:
        super().__init__()
        self.margin = margin
        self.adaptation = Adaptation(weight, steepness, horizon, label_smoothing)
        self.hidden_units, self.hidden_layers = hidden_units, hidden_layers

    def prepare(self, facts: Facts) -> None:
        """See `Part`."""
        sizes = facts.num_features, self.hidden_units, self.hidden_layers
        self.adversary = make_critic(*sizes, num_outputs=len(facts.class_counts_C))

    def losses(self, network: Classifier, batch: Batch, progress: float) -> Losses:
        """See `Objective`."""
        source_ND, target_MD = self.domains.features(network, batch)
        logits_NC, logits_MC = self.domains.scores(network, source_ND, target_MD)
        factor = self.adaptation.factor(progress)
        adversary_NC, adversary_MC = behind_reversal(self.adversary, source_ND, target_MD, factor)
        loss = adversary_loss(logits_NC, logits_MC, adversary_NC, adversary_MC, margin=self.margin)
        observed = {
            "adversary_agreement_source": _agreement(logits_NC, adversary_NC),
            "adversary_agreement_target": _agreement(logits_MC, adversary_MC),
            "entropy_target": entropy(logits_MC.detach()).mean(),
        }
        return self.adaptation.losses(logits_NC, batch, factor, {"adversary_loss": loss}, observed)


def _agreement(one_NC: torch.Tensor, other_NC: torch.Tensor) -> torch.Tensor:
    return (one_NC.argmax(1) == other_NC.argmax(1)).float().mean()
