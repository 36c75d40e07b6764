"""A head with hidden layers, for features in which the classes are not linearly separable.

Hidden layers start as in He et al., Delving deep into rectifiers, ICCV 2015 (variance 2 / fan-in), the last
one as small as the linear head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import nn

from transferlab.run.errors import UserError
from transferlab.strategy.head.linear import small_linear
from transferlab.strategy.parts import Solver

_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU}


@dataclass(frozen=True, kw_only=True)
class MLP:
    """`hidden_layers` times (linear, activation, dropout), then a linear layer.

    Attributes:
        hidden_units: width of each hidden layer.
        hidden_layers: how many; with 0 it is the linear head.
        activation: after each hidden layer.
        dropout: share of each hidden layer's units dropped in training, 0 to 1.
    """

    solver: ClassVar[Solver] = "gradient"

    hidden_units: int = 512
    hidden_layers: int = 1
    activation: Literal["relu", "gelu"] = "relu"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.hidden_units < 1:
            raise UserError(f"strategy.head.hidden_units={self.hidden_units}: must be at least 1.")
        if self.hidden_layers < 0:
            raise UserError(f"strategy.head.hidden_layers={self.hidden_layers}: must not be below 0.")
        if not 0 <= self.dropout < 1:
            raise UserError(f"strategy.head.dropout={self.dropout}: must be at least 0 and below 1.")

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
