"""CDAN: a critic that sees features together with the class they are predicted to be of.

Long et al., Conditional adversarial domain adaptation, NeurIPS 2018. The critic's input is the multilinear
map of features and predictions, randomised where that would be too large; with entropy conditioning (CDAN+E)
sure predictions count more.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from transferlab.config.bounds import NonNegativeInt, PositiveInt, Share
from transferlab.model.classifier import Classifier
from transferlab.strategy.objective.adaptation import (
    Adaptation,
    Horizon,
    Steepness,
    Weight,
    certainty_weights,
    entropy,
)
from transferlab.strategy.objective.critic import behind_reversal, critic_metrics, domain_loss, make_critic
from transferlab.strategy.objective.domains import full_precision
from transferlab.strategy.parts import Batch, Facts, Losses, Objective


def multilinear_map(features_ND: torch.Tensor, probabilities_NC: torch.Tensor) -> torch.Tensor:
    """Every feature times every class's probability: `(N, C D)`, class by class.

    >>> multilinear_map(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.25, 0.75]])).tolist()
    [[0.25, 0.5, 0.75, 1.5]]
    """
    return (probabilities_NC.unsqueeze(2) * features_ND.unsqueeze(1)).flatten(1)


class RandomMultilinearMap(nn.Module):
    """Products of random projections, `(R_f f) * (R_g g) / sqrt(num_outputs)`: `(N, num_outputs)`.

    Its inner products are, on average, those of the whole map. The matrices are drawn once, from a standard
    normal (the paper also allows a uniform distribution; TLlib has the normal one); they travel in the
    checkpoint and are not trained.
    """

    def __init__(self, num_features: int, num_classes: int, num_outputs: int) -> None:
        super().__init__()
        self.of_features: torch.Tensor
        self.of_classes: torch.Tensor
        self.register_buffer("of_features", torch.randn(num_features, num_outputs))
        self.register_buffer("of_classes", torch.randn(num_classes, num_outputs))

    def forward(self, features_ND: torch.Tensor, probabilities_NC: torch.Tensor) -> torch.Tensor:
        """See the class."""
        num_outputs = self.of_features.shape[1]
        projected = features_ND.to(self.of_features.dtype) @ self.of_features
        classes = probabilities_NC.to(self.of_classes.dtype) @ self.of_classes
        return projected * classes / num_outputs**0.5


class CDAN(Objective):
    """Source cross-entropy plus the reversed loss of a critic of features and predictions."""

    uses_target: ClassVar[bool] = True
    adapts_features_only: ClassVar[bool] = True

    def __init__(
        self,
        *,
        entropy_conditioning: bool = False,
        weight: Weight = 1.0,
        steepness: Steepness = 10.0,
        horizon: Horizon = 1.0,
        hidden_units: PositiveInt = 128,
        hidden_layers: NonNegativeInt = 1,
        largest_map: NonNegativeInt = 4096,
        random_units: PositiveInt = 1024,
        label_smoothing: Share = 0.0,
    ) -> None:
        super().__init__()
        self.entropy_conditioning = entropy_conditioning
        self.adaptation = Adaptation(weight, steepness, horizon, label_smoothing)
        self.hidden_units, self.hidden_layers = hidden_units, hidden_layers
        self.largest_map, self.random_units = largest_map, random_units

    def prepare(self, facts: Facts) -> None:
        """See `Part`."""
        num_classes = len(facts.class_counts_C)
        whole = facts.num_features * num_classes
        self.random_map: RandomMultilinearMap | None = None
        if whole > self.largest_map:
            self.random_map = RandomMultilinearMap(facts.num_features, num_classes, self.random_units)
        num_inputs = whole if self.random_map is None else self.random_units
        self.critic = make_critic(num_inputs, self.hidden_units, self.hidden_layers)

    def losses(self, network: Classifier, batch: Batch, progress: float) -> Losses:
        """See `Objective`."""
        source_ND, target_MD = self.domains.features(network, batch)
        logits_NC, logits_MC = self.domains.scores(network, source_ND, target_MD)
        factor = self.adaptation.factor(progress)
        joined = self._joined(source_ND, logits_NC), self._joined(target_MD, logits_MC)
        scores = behind_reversal(self.critic, *joined, factor)
        entropy_N, entropy_M = entropy(logits_NC.detach()), entropy(logits_MC.detach())
        # Weights add up to one within each domain, as in the authors' code (TLlib: over both together), so
        # that the domains stay balanced however much surer the source's predictions are.
        weights = map(certainty_weights, (entropy_N, entropy_M) if self.entropy_conditioning else ())
        term = {"critic_loss": domain_loss(*scores, *weights)}
        entropies = {"entropy_source": entropy_N.mean(), "entropy_target": entropy_M.mean()}
        return self.adaptation.losses(logits_NC, batch, factor, term, critic_metrics(*scores) | entropies)

    def _joined(self, features_ND: torch.Tensor, logits_NC: torch.Tensor) -> torch.Tensor:
        """Input of the critic. Predictions are constants to it, as in the authors' code and in TLlib."""
        with full_precision(features_ND):
            features_ND = features_ND.float()
            probabilities_NC = logits_NC.detach().float().softmax(1)
            if self.random_map is None:
                return multilinear_map(features_ND, probabilities_NC)
            return self.random_map(features_ND, probabilities_NC)
