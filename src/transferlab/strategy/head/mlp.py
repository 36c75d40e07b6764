"""A head with hidden layers, for features in which the classes are not linearly separable.

Hidden layers start as in He et al., Delving deep into rectifiers, ICCV 2015 (variance 2 / fan-in), the last
one as small as the linear head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from transferlab.config.bounds import NonNegativeInt, PositiveInt, Share
from transferlab.strategy.head.linear import small_linear
from transferlab.strategy.parts import Head

_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU}


@dataclass(frozen=True, kw_only=True)
class MLP(Head):
    """`hidden_layers` times (linear, activation, dropout), then a linear layer."""

    hidden_units: PositiveInt = 512
    hidden_layers: NonNegativeInt = 1
    activation: Literal["relu", "gelu"] = "relu"
    dropout: Share = 0.0

    def build(self, num_features: int, num_classes: int) -> nn.Module:
        """See `Head`."""
        layers: list[nn.Module] = []
        width = num_features
        for _ in range(self.hidden_layers):
            hidden = nn.Linear(width, self.hidden_units)
            nn.init.kaiming_normal_(hidden.weight, nonlinearity="relu")
            nn.init.zeros_(hidden.bias)
            layers += [hidden, _ACTIVATIONS[self.activation](), nn.Dropout(self.dropout)]
            width = self.hidden_units
        return nn.Sequential(*layers, small_linear(width, num_classes))
