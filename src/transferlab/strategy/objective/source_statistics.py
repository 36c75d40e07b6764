"""The source's own running statistics of batch norms, beside the network's, which are then the target's.

Li et al., Adaptive batch normalization for practical domain adaptation, Pattern Recognition 80 (2018).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def norms_with_statistics(network: nn.Module) -> list[_BatchNorm]:
    """The batch norms that keep running statistics, in the network's order."""
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    return [norm for norm in norms if norm.running_mean is not None]


class SourceStatistics(nn.Module):
    """Buffers for the source, at first the same as the network's; they travel in the checkpoint."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        for number, norm in enumerate(norms_with_statistics(network)):
            for name in _STATISTICS:
                self.register_buffer(f"{name}_{number}", norm.get_buffer(name).clone())

    @contextmanager
    def in_use(self, network: nn.Module) -> Iterator[None]:
        """Within this, the network's norms hold, use and update the source's statistics."""
        self._exchange(network)
        try:
            yield
        finally:
            self._exchange(network)

    def _exchange(self, network: nn.Module) -> None:
        for number, norm in enumerate(norms_with_statistics(network)):
            for name in _STATISTICS:
                kept = f"{name}_{number}"
                theirs, ours = norm.get_buffer(name), self.get_buffer(kept)
                setattr(norm, name, ours)
                setattr(self, kept, theirs)
