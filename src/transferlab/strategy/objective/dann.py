"""DANN: features that tell classes apart and from which a critic can not tell the domains apart.

Ganin et al., Domain-adversarial training of neural networks, JMLR 17 (2016). One forward pass over source
and target together (so that batch norm sees both), a critic behind a gradient reversal, its loss averaged
within each domain and then over the two, in fp32.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional

from transferlab.backbone.classifier import Classifier
from transferlab.run.errors import UserError
from transferlab.strategy.objective.cross_entropy import accuracy, labelled_loss
from transferlab.strategy.objective.gradient_reversal import reversal_factor, reverse_gradient
from transferlab.strategy.parts import Batch, Losses, Objective


def domain_loss(scores_source_N: torch.Tensor, scores_target_M: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy of the critic's logits (source 1, target 0), each domain weighing one half."""
    source = functional.softplus(-scores_source_N.float()).mean()
    target = functional.softplus(scores_target_M.float()).mean()
    return (source + target) / 2


class DANN(Objective):
    """Source cross-entropy plus the reversed loss of a domain critic."""

    uses_target: ClassVar[bool] = True

    def __init__(
        self,
        *,
        weight: float = 1.0,
        steepness: float = 10.0,
        horizon: float = 1.0,
        hidden_units: int = 128,
        hidden_layers: int = 1,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        if hidden_units < 1:
            raise UserError(f"strategy.objective.hidden_units={hidden_units}: must be at least 1.")
        if weight < 0:
            raise UserError(f"strategy.objective.weight={weight}: must not be below 0.")
        if not 0 <= horizon <= 1:
            raise UserError(f"strategy.objective.horizon={horizon}: must lie between 0 and 1.")
        self.weight, self.steepness, self.horizon = weight, steepness, horizon
        self.hidden_units, self.hidden_layers = hidden_units, hidden_layers
        self.label_smoothing = label_smoothing

    def build(self, num_features: int, class_counts_C: torch.Tensor) -> None:
        """See `Objective`."""
        layers: list[nn.Module] = []
        width = num_features
        for _ in range(self.hidden_layers):
            layers += [nn.Linear(width, self.hidden_units), nn.ReLU()]
            width = self.hidden_units
        self.critic = nn.Sequential(*layers, nn.Linear(width, 1))

    def losses(self, network: Classifier, batch: Batch, progress: float) -> Losses:
        """See `Objective`."""
        images = batch["image"]
        num_source = len(images)
        features_ND = network.features(torch.cat([images, batch["target_image"]]))
        logits_NC = network.classify(features_ND[:num_source])
        factor = reversal_factor(progress, weight=self.weight, steepness=self.steepness, horizon=self.horizon)
        with torch.autocast(features_ND.device.type, enabled=False):
            own_type = next(
                self.critic.parameters()
            ).dtype  # fp32, unless the whole module was made bf16 or fp64
            scores = self.critic(reverse_gradient(features_ND.to(own_type), factor)).squeeze(1)
            critic_loss = domain_loss(scores[:num_source], scores[num_source:])
            class_loss = labelled_loss(logits_NC, batch, label_smoothing=self.label_smoothing)
        hits = torch.cat([scores[:num_source] > 0, scores[num_source:] <= 0]).float()
        observed = {
            "accuracy": accuracy(logits_NC, batch),
            "lambda": scores.new_tensor(factor),
            "critic_accuracy_source": hits[:num_source].mean(),
            "critic_accuracy_target": hits[num_source:].mean(),
        }
        return Losses({"class_loss": class_loss, "critic_loss": critic_loss}, observed)
