"""Forward passes of two domains in one step: the one place where domains meet batch norm.

| bn | passes | batch norms normalise by | evaluation uses |
|---|---|---|---|
| `mixed` | one, over both | the statistics of source and target together | their running average |
| `separate` | one each | each domain's own statistics | one running average, fed by both in turn |
| `domain_specific` | one each | each domain's own statistics | that of the domain it evaluates |
| `frozen_statistics` | one, over both | the statistics of the pretraining | the same |
| `frozen_norms` | the same; the backbone's batch norms keep their scale and shift, too | | |
| `frozen` | another name of `frozen_statistics` | | |

`separate`: French et al., Self-ensembling for visual domain adaptation, ICLR 2018. The source
comes first, so with torch's momentum of 0.1 the target's statistics weigh 0.53 and the source's 0.47 in the
long run; neither domain is evaluated with quite what it was trained with. `domain_specific` mends that:
Li et al., Adaptive batch normalization, Pattern Recognition 80 (2018); Chang et al., Domain-specific batch
normalization, CVPR 2019 (here the domains share scale and shift, as the former do).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import torch
from torch import nn

from transferlab.model.batch_statistics import norms_with_statistics
from transferlab.model.classifier import Classifier
from transferlab.run.errors import UserError

BatchNorm = Literal["mixed", "separate", "domain_specific", "frozen_statistics", "frozen_norms", "frozen"]
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


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
                own = f"{name}_{number}"
                theirs, ours = norm.get_buffer(name), self.get_buffer(own)
                setattr(norm, name, ours)
                setattr(self, own, theirs)


class Domains(nn.Module):
    """Passes over source and target as a kind of batch norm wants them.

    Args:
        network: whose norms; used by `domain_specific` alone, which stores the source's statistics for it.
        bn: see the table above.
    """

    def __init__(self, network: nn.Module | None = None, *, bn: BatchNorm = "mixed") -> None:
        super().__init__()
        self.bn = bn
        self.source_statistics: SourceStatistics | None = None
        if bn == "domain_specific":
            assert network is not None
            self.source_statistics = SourceStatistics(network)

    def features(
        self, network: Classifier, batch: Mapping[str, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Features of `input` (N, D) and of `target_input` (M, D)."""
        return self._of_both(network, network.features, batch["input"], batch["target_input"])

    def scores(
        self, network: Classifier, source_ND: torch.Tensor, target_MD: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Class scores (N, C) and (M, C) of the domains' features."""
        return self._of_both(network, network.classify, source_ND, target_MD)

    def pass_through(self, network: Classifier, batch: Mapping[str, torch.Tensor]) -> None:
        """Let the whole network see a batch, of one domain or two: its batch norms take statistics."""
        if "target_input" in batch:
            self.scores(network, *self.features(network, batch))
        else:
            network(batch["input"])

    def on_source(self, network: Classifier) -> AbstractContextManager[None]:
        """Within this, the network's norms hold the source's running statistics, if those have their own.

        Outside, and in an exported model, they are the target's.
        """
        return nullcontext() if self.source_statistics is None else self.source_statistics.in_use(network)

    def _of_both(
        self,
        network: Classifier,
        function: Callable[[torch.Tensor], torch.Tensor],
        source: torch.Tensor,
        target: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if self.bn not in ("separate", "domain_specific"):
            both = function(torch.cat([source, target]))
            return both[: len(source)], both[len(source) :]
        with self.on_source(network):
            of_source = function(source)
        return of_source, function(target)


def full_precision(tensor: torch.Tensor) -> torch.autocast:
    """Within this, matrix products stay in the precision of what goes in, whatever the trainer's is."""
    return torch.autocast(tensor.device.type, enabled=False)


def refuse_single(source_ND: torch.Tensor, target_MD: torch.Tensor, what: str) -> None:
    """Raise `UserError` where a batch has too few samples of a domain for `what`."""
    for key, size in (("batch_size", len(source_ND)), ("target_batch_size", len(target_MD))):
        if size < 2:
            raise UserError(f"data.{key}={size}: {what} needs at least 2 samples of each domain in a batch.")
