"""Averages of trained networks' weights: plain means, and points on the line between two networks.

Wortsman et al., Model soups, ICML 2022 (uniform and greedy means); Wortsman et al., Robust fine-tuning of
zero-shot models, CVPR 2022 (WiSE-FT: the line from the start of a fine-tuning to its end).
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from transferlab.model.batch_statistics import norms_with_statistics

State = Mapping[str, Tensor]
_STATISTICS = ("running_mean", "running_var")


class WeightMean:
    """A weighted mean of the states of networks that are built alike: a value, which does not change.

    Attributes:
        differing: names of the tensors that are not the same in all of them.
    """

    def __init__(self, state: State, weight: float = 1.0) -> None:
        self._first, self._weight = state, weight
        self._total = {name: t.double() * weight for name, t in state.items() if t.is_floating_point()}
        self.differing: frozenset[str] = frozenset()

    def plus(self, state: State, weight: float = 1.0) -> WeightMean:
        """The mean of one network more."""
        other = WeightMean(self._first, self._weight)
        other._weight = self._weight + weight
        other._total = {name: total + state[name].double() * weight for name, total in self._total.items()}
        changed = (name for name, tensor in state.items() if not tensor.equal(self._first[name]))
        other.differing = self.differing.union(changed)
        return other

    def state(self) -> dict[str, Tensor]:
        """The mean, in the precision of the networks; whole numbers are the first one's."""
        means = {name: total / self._weight for name, total in self._total.items()}
        return {**self._first, **{name: mean.to(self._first[name].dtype) for name, mean in means.items()}}


def between(start: State, end: State, alpha: float) -> WeightMean:
    """The point `(1 - alpha) start + alpha end`; at 0 and 1 it is the very same as one of them."""
    if alpha in (0, 1):
        return WeightMean(end if alpha else start)
    return WeightMean(start, 1 - alpha).plus(end, alpha)


def norms_without_statistics(network: nn.Module, differing: frozenset[str]) -> list[_BatchNorm]:
    """The batch norms whose statistics an average cannot have: those that training changed.

    Args:
        network: of which the average is one.
        differing: see `WeightMean`.
    """
    names = {norm: name for name, norm in network.named_modules()}
    return [
        norm
        for norm in norms_with_statistics(network)
        if any(f"{names[norm]}.{key}" in differing for key in _STATISTICS)
    ]
