"""DANN: features that tell classes apart and from which a critic cannot tell the domains apart.

Ganin et al., Domain-adversarial training of neural networks, JMLR 17 (2016). One forward pass over source
and target together (so that batch norm sees both), a critic behind a gradient reversal, its loss averaged
within each domain and then over the two, in fp32.
"""

from __future__ import annotations

from typing import ClassVar

from transferlab.config.bounds import NonNegativeInt, PositiveInt, Share
from transferlab.model.classifier import Classifier
from transferlab.strategy.objective.adaptation import Adaptation, Horizon, Steepness, Weight
from transferlab.strategy.objective.critic import behind_reversal, critic_metrics, domain_loss, make_critic
from transferlab.strategy.parts import Batch, Facts, Losses, Objective


class DANN(Objective):
    """Source cross-entropy plus the reversed loss of a domain critic."""

    uses_target: ClassVar[bool] = True
    adapts_features_only: ClassVar[bool] = True

    def __init__(
        self,
        *,
        weight: Weight = 1.0,
        steepness: Steepness = 10.0,
        horizon: Horizon = 1.0,
        hidden_units: PositiveInt = 128,
        hidden_layers: NonNegativeInt = 1,
        label_smoothing: Share = 0.0,
    ) -> None:
        super().__init__()
        self.adaptation = Adaptation(weight, steepness, horizon, label_smoothing)
        self.hidden_units, self.hidden_layers = hidden_units, hidden_layers

    def prepare(self, facts: Facts) -> None:
        """See `Part`."""
        self.critic = make_critic(facts.num_features, self.hidden_units, self.hidden_layers)

    def losses(self, network: Classifier, batch: Batch, progress: float) -> Losses:
        """See `Objective`."""
        source_ND, target_MD = self.domains.features(network, batch)
        logits_NC = network.classify(source_ND)
        factor = self.adaptation.factor(progress)
        scores = behind_reversal(self.critic, source_ND, target_MD, factor)
        term = {"critic_loss": domain_loss(*scores)}
        return self.adaptation.losses(logits_NC, batch, factor, term, critic_metrics(*scores))
