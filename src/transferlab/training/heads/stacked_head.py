"""J heads of one structure as one: parameters `(J, ...)`, a batched matrix product for each layer."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import nn

_ELEMENTWISE = (nn.ReLU, nn.GELU)


def layers_of(head: nn.Module) -> list[tuple[str, nn.Module]] | None:
    """The layers of a head that can be stacked, with the prefixes of their parameters; None of another."""
    layers: list[tuple[str, nn.Module]]
    if type(head) is nn.Linear:
        layers = [("", head)]
    elif type(head) is nn.Sequential:
        layers = [(f"{name}.", layer) for name, layer in head.named_children()]
    else:
        return None
    known = all(type(layer) in (nn.Linear, nn.Dropout, *_ELEMENTWISE) for _, layer in layers)
    ends_linear = bool(layers) and type(layers[-1][1]) is nn.Linear
    trains = all(p.requires_grad and p.dtype == torch.float32 for p in head.parameters())
    return layers if known and ends_linear and trains else None


def structure(head: nn.Module) -> Hashable | None:
    """Equal for heads that can be stacked with each other; None for one that cannot be at all."""
    layers = layers_of(head)
    if layers is None:
        return None
    # the share that a dropout drops may differ from head to head
    return tuple("dropout" if isinstance(layer, nn.Dropout) else str(layer) for _, layer in layers)


class StackedHeads:
    """The layers and parameters of several heads.

    Attributes:
        layers: of each head, with the prefixes of their parameters' names.
        parameters: by name, `(J, ...)`.
    """

    def __init__(self, layers: Sequence[tuple[str, nn.Module]], parameters: dict[str, torch.Tensor]) -> None:
        self.layers, self.parameters = layers, parameters

    @classmethod
    def of(cls, heads: Sequence[nn.Module], device: torch.device) -> StackedHeads:
        """Copies of heads of one `structure`."""
        layers = layers_of(heads[0])
        assert layers is not None
        states = [dict(head.named_parameters()) for head in heads]
        parameters = {
            name: torch.stack([state[name].detach() for state in states]).to(device).requires_grad_()
            for name in states[0]
        }
        return cls(layers, parameters)

    @property
    def num_classes(self) -> int:
        return self.layers[-1][1].out_features  # type: ignore[return-value]

    def scores(self, features: torch.Tensor, *, factors: Sequence[torch.Tensor | None] = ()) -> torch.Tensor:
        """Class scores `(J, C, B)`: with the samples last, each layer is a product of contiguous matrices.

        Args:
            features: `(J, B, D)`, or `(B, D)` where all heads see the same.
            factors: what each dropout layer multiplies by, `(J, B, width)`; none in evaluation.
        """
        values = features.mT
        of_dropouts = iter(factors)
        for prefix, layer in self.layers:
            if isinstance(layer, nn.Linear):
                values = torch.matmul(self.parameters[prefix + "weight"], values)
                if layer.bias is not None:
                    values = values + self.parameters[prefix + "bias"].unsqueeze(2)
            elif isinstance(layer, nn.Dropout):
                factors_JBW = next(of_dropouts, None)
                values = values if factors_JBW is None else values * factors_JBW.mT
            else:
                values = layer(values)
        return values

    def state(self, place: int) -> dict[str, torch.Tensor]:
        """A copy of one head's state dict."""
        return {name: value[place].detach().clone() for name, value in self.parameters.items()}

    def some(self, places: slice | Sequence[int]) -> StackedHeads:
        """Only these heads; of a slice a view, of positions a copy that can go on learning."""
        parameters = {
            name: value.detach()[places].requires_grad_() for name, value in self.parameters.items()
        }
        return StackedHeads(self.layers, parameters)
