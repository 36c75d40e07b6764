"""A network as an ordered list of stages, from the input to the output.

timm describes every architecture's depth by a `group_matcher`; its coarse groups, in order, are the stages.
A stage holds at least 1 % of the parameters: smaller groups (a stem, a last norm, a final convolution) merge
into a neighbour, so that "the last k stages" means something in every family.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from timm.models import group_parameters
from torch import nn

_SMALLEST_SHARE = 0.01


@dataclass(frozen=True)
class Stage:
    """One stage: what to call it and the names of its parameters within the network."""

    name: str
    parameters: tuple[str, ...]


def ordered_stages(network: nn.Module) -> tuple[Stage, ...]:
    """The stages of a timm network, input first; every parameter is in exactly one of them."""
    sizes = {name: parameter.numel() for name, parameter in network.named_parameters()}
    groups = group_parameters(network, network.group_matcher(coarse=True))
    named = [list(names) for _, names in sorted(groups.items(), key=lambda item: item[0])]
    merged = merge_small(named, [sum(sizes[name] for name in names) for names in named])
    stages = tuple(Stage(_common_name(names), tuple(names)) for names in merged)
    listed = [name for stage in stages for name in stage.parameters]
    assert sorted(listed) == sorted(sizes), "timm's group_matcher left out or repeated a parameter"
    return stages


def merge_small(groups: Sequence[Sequence[str]], sizes: Sequence[int]) -> list[list[str]]:
    """Merge each group with less than 1 % of the whole into the next one, the last one into the one before.

    >>> merge_small([["stem"], ["a"], ["b"], ["norm"]], [1, 500, 500, 1])
    [['stem', 'a'], ['b', 'norm']]
    """
    smallest = _SMALLEST_SHARE * sum(sizes)
    merged: list[list[str]] = []
    waiting: list[str] = []
    waiting_size = 0
    for group, size in zip(groups, sizes, strict=True):
        waiting += group
        waiting_size += size
        if waiting_size >= smallest:
            merged.append(waiting)
            waiting, waiting_size = [], 0
    if waiting:
        if merged:
            merged[-1] += waiting
        else:
            merged.append(waiting)
    return merged


def stage_modules(network: nn.Module, stage: Stage) -> list[nn.Module]:
    """The modules that own a parameter of this stage directly (a norm, a convolution)."""
    owners = dict.fromkeys(name.rpartition(".")[0] for name in stage.parameters)
    return [network.get_submodule(owner) for owner in owners]


def _common_name(names: Sequence[str]) -> str:
    """What most of a stage's parameters share: `layer3`, `blocks.4`, `features.12-17`."""
    tops = [name.split(".")[0] for name in names]
    top = max(dict.fromkeys(tops), key=tops.count)
    inside = [name.split(".")[1] for name in names if name.startswith(f"{top}.") and name.count(".") > 1]
    within = list(dict.fromkeys(inside))
    if not within:
        return top
    return f"{top}.{within[0]}" if len(within) == 1 else f"{top}.{within[0]}-{within[-1]}"
