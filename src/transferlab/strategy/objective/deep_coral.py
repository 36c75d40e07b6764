"""Deep CORAL: features whose covariances are the same on both domains.

Sun & Saenko, Deep CORAL: correlation alignment for deep domain adaptation, ECCV 2016 workshops.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from transferlab.config.bounds import Share
from transferlab.model.classifier import Classifier
from transferlab.strategy.objective.adaptation import Adaptation, Horizon, Steepness, Weight
from transferlab.strategy.objective.domains import full_precision, refuse_single
from transferlab.strategy.parts import Batch, Losses, Objective


def covariance(features_ND: torch.Tensor) -> torch.Tensor:
    """The unbiased sample covariance `(D, D)`. Equations 2 and 3."""
    centred = features_ND - features_ND.mean(0)
    return centred.T @ centred / (len(features_ND) - 1)


def coral_loss(source_ND: torch.Tensor, target_MD: torch.Tensor) -> torch.Tensor:
    """The squared Frobenius distance of the covariances, divided by 4 D^2. Equation 1.

    Means do not matter: TLlib adds their distance, which is not in the paper.
    """
    difference_DD = covariance(source_ND) - covariance(target_MD)
    return difference_DD.square().sum() / (4 * source_ND.shape[1] ** 2)


class DeepCORAL(Objective):
    """Source cross-entropy plus lambda times the CORAL loss of the features.

    Of the features, as in TLlib, and not of the class scores as in the paper's experiments: a head whose
    scores merely shrink would bring the latter down. The loss grows with the fourth power of the features'
    scale: the paper chooses a weight with which both losses are about as large at the training's end.
    """

    uses_target: ClassVar[bool] = True
    adapts_features_only: ClassVar[bool] = True

    def __init__(
        self,
        *,
        weight: Weight = 10.0,
        steepness: Steepness = 10.0,
        horizon: Horizon = 1.0,
        label_smoothing: Share = 0.0,
    ) -> None:
        super().__init__()
        self.adaptation = Adaptation(weight, steepness, horizon, label_smoothing)

    def losses(self, network: Classifier, batch: Batch, progress: float) -> Losses:
        """See `Objective`."""
        source_ND, target_MD = self.domains.features(network, batch)
        refuse_single(source_ND, target_MD, "a covariance")
        logits_NC = network.classify(source_ND)
        factor = self.adaptation.factor(progress)
        with full_precision(source_ND):
            coral = coral_loss(source_ND.float(), target_MD.float())
        term = {"coral_loss": factor * coral}
        return self.adaptation.losses(logits_NC, batch, factor, term, {"coral": coral})
