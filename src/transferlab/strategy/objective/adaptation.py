"""Adaptation to an unlabelled target, shared by its objectives: lambda, the class loss, certain predictions.

Lambda: Ganin et al., Domain-adversarial training of neural networks, JMLR 17 (2016), section 5.2.2: early on
the features are noise, and what they would be aligned by is noise too. One schedule for every objective: it
scales the reversed gradient of a critic, or the loss of a discrepancy. The weight 1 + exp(-H) of a prediction
of entropy H: Long et al., Conditional adversarial domain adaptation, NeurIPS 2018 (entropy conditioning);
taken over by Jin et al., Minimum class confusion, ECCV 2020.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from transferlab.config.bounds import NonNegativeFloat, PositiveFloat, Probability, Share
from transferlab.strategy.objective.cross_entropy import accuracy, labelled_loss
from transferlab.strategy.parts import Batch, Losses

# Annotations of the arguments that every adaptation has
Weight = NonNegativeFloat
Steepness = PositiveFloat
Horizon = Probability


def share_of_weight(progress: float, *, steepness: float, horizon: float) -> float:
    """From 0 at the start to nearly 1 when `horizon` of the training is over; a horizon of 0: 1 throughout.

    With p = progress / horizon: `2 / (1 + exp(-steepness p)) - 1`. Ganin et al. have a steepness of 10 over
    the whole training. TLlib counts steps, `2 / (1 + exp(-step / 1000)) - 1`, which is a steepness of a
    thousandth of the training's steps: 20 in its usual run of 20 epochs of 1,000 steps.

    >>> [round(share_of_weight(p, steepness=10.0, horizon=1.0), 3) for p in (0, 0.1, 1)]
    [0.0, 0.462, 1.0]
    """
    if horizon == 0:
        return 1.0
    return 2.0 / (1.0 + math.exp(-steepness * min(progress / horizon, 1.0))) - 1.0


@dataclass(frozen=True)
class Adaptation:
    """Cross-entropy on the source beside a term that lambda scales; arguments as in `conf/strategy`."""

    weight: Weight
    steepness: Steepness
    horizon: Horizon
    label_smoothing: Share

    def factor(self, progress: float) -> float:
        """Lambda when `progress` (0 to 1) of the training is over."""
        return self.weight * share_of_weight(progress, steepness=self.steepness, horizon=self.horizon)

    def losses(
        self,
        logits_NC: torch.Tensor,
        batch: Batch,
        factor: float,
        term: dict[str, torch.Tensor],
        observed: dict[str, torch.Tensor],
    ) -> Losses:
        """The source's class loss and the adaptation's own `term`; accuracy and lambda are observed, too."""
        class_loss = labelled_loss(logits_NC, batch, label_smoothing=self.label_smoothing)
        on_device = torch.full((), factor, device=logits_NC.device)  # made there: nothing is copied or waits
        seen = {"accuracy": accuracy(logits_NC, batch), "lambda": on_device, **observed}
        return Losses({"class_loss": class_loss, **term}, seen)


def entropy(logits_NC: torch.Tensor) -> torch.Tensor:
    """The entropy of each softmax `(N,)` in nats, 0 to log C; fp32.

    >>> entropy(torch.zeros(1, 4)).item() == torch.tensor(4.0).log().item()
    True
    """
    log_p = logits_NC.float().log_softmax(1)
    return -(log_p.exp() * log_p).sum(1)


def certainty_weights(entropy_N: torch.Tensor) -> torch.Tensor:
    """1 + exp(-entropy) without gradient: 2 for a sure prediction, 1 + 1/C for an evenly spread one.

    Constants, as in TLlib: with a gradient, the network could change what a sample weighs instead of what it
    is (the authors' first code lets it through, reversed).
    """
    return 1 + (-entropy_N.detach()).exp()
