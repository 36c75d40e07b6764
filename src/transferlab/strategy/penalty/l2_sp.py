"""L2-SP: pull the backbone towards where it started instead of towards zero.

Li, Grandvalet & Davoine, Explicit inductive bias for transfer learning with convolutional networks,
ICML 2018, equation 3: alpha/2 ||w - w0||^2 on the backbone, beta/2 ||w||^2 on what is fresh: the head, and
the bottleneck before it where there is one.
"""

from __future__ import annotations

import torch

from transferlab.config.bounds import NonNegativeFloat
from transferlab.model.classifier import Classifier
from transferlab.strategy.parts import Penalty


class L2SP(Penalty):
    """`strength / 2` times the squared distance from the start, `head_strength / 2` times that of the head
    and the bottleneck from zero.

    The starting point travels in the checkpoint, so that a resumed run has the same one.
    """

    def __init__(self, *, strength: NonNegativeFloat = 0.01, head_strength: NonNegativeFloat = 0.01) -> None:
        super().__init__()
        self.strength, self.head_strength = strength, head_strength

    def remember(self, network: Classifier) -> None:
        """See `Part`."""
        for name, parameter in network.backbone.named_parameters():
            self.register_buffer(_buffer(name), parameter.detach().clone())

    def penalty(self, network: Classifier) -> torch.Tensor:
        """See `Penalty`."""
        fresh = (*network.bottleneck.parameters(), *network.head.parameters())
        weights = [parameter for parameter in fresh if parameter.ndim > 1]
        norm = torch.stack([weight.square().sum() for weight in weights]).sum()
        head = 0.5 * self.head_strength * norm
        distances = [
            (parameter - self.get_buffer(_buffer(name))).square().sum()
            for name, parameter in network.backbone.named_parameters()
            if parameter.requires_grad
        ]
        return head + 0.5 * self.strength * torch.stack(distances).sum() if distances else head


def _buffer(name: str) -> str:
    return "start_" + name.replace(".", "__")
