"""Running statistics of batch norms, computed anew for a network whose weights are an average.

Averages of running statistics are not those of the averaged network: a layer's outputs are no linear function
of the weights before it (Izmailov et al., Averaging weights leads to wider optima and better generalization,
UAI 2018, section 3.2).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def norms_with_statistics(network: nn.Module) -> list[_BatchNorm]:
    """The batch norms that keep running statistics, in the network's order."""
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    return [norm for norm in norms if norm.running_mean is not None]


@contextmanager
def statistics_anew(norms: Sequence[_BatchNorm]) -> Iterator[None]:
    """Within this, the statistics of these norms become the plain means over the passes in training mode."""
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # each batch counts equally
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
