"""Which modules a network calls, in what order, and what they give: seen in one forward pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from transferlab.backbone.cut import Placeholder


@dataclass(frozen=True)
class Call:
    """One call of a module.

    Attributes:
        module: its name.
        began: a position in the order of all calls' beginnings and ends.
        ended: another one; a call that another one contains begins after it and ends before it.
        output: a nest in which placeholders stand for tensors.
        is_per_image: whether the first axis of every tensor counts images.
    """

    module: str
    began: int
    ended: int
    output: Any
    is_per_image: bool


def recorded(network: nn.Module, images_NCHW: Tensor) -> tuple[list[Call], Tensor]:
    """Every call of every module in a forward pass, in the order in which they end, and the features."""
    time = count()
    running: list[int] = []
    calls: list[Call] = []

    def begin(module: nn.Module, inputs: Any) -> None:
        running.append(next(time))

    def end(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        tensors = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
        is_per_image = bool(tensors) and all(t.shape[:1] == images_NCHW.shape[:1] for t in tensors)
        nest = tree_map_only(Tensor, lambda t: Placeholder(tuple(t.shape[1:]), t.dtype), output)
        calls.append(Call(name, running.pop(), next(time), nest, is_per_image))

    hooks = []
    for name, module in network.named_modules():
        if name:
            hooks.append(module.register_forward_pre_hook(begin))
            hooks.append(module.register_forward_hook(partial(end, name)))
    try:
        features_ND = network.forward(images_NCHW)  # not by a call: that could be a compiled one
    finally:
        for hook in hooks:
            hook.remove()
    return calls, features_ND


def prefixes(calls: Sequence[Call], parameters: Iterable[str]) -> list[list[Call]]:
    """The calls before any use of these parameters, the outermost ones alone, in their order.

    In several lengths, the longest first: each ends with a module that gives one tensor, in its only call.
    """
    times = Counter(call.module for call in calls)
    before = _outermost(calls, _first_use(parameters, calls))
    return [
        before[: place + 1]
        for place in reversed(range(len(before)))
        if isinstance(before[place].output, Placeholder) and times[before[place].module] == 1
    ]


def _first_use(parameters: Iterable[str], calls: Sequence[Call]) -> int:
    """When the first module begins that owns one of these parameters; 0: none of them is called.

    Where a module is not called itself, its parameters are used by the one that contains it. What the
    network's own code does with parameters no call tells.
    """
    began: dict[str, int] = {}
    for call in sorted(calls, key=lambda call: call.began):
        began.setdefault(call.module, call.began)
    uses = []
    for owner in {name.rpartition(".")[0] for name in parameters}:
        while owner and owner not in began:
            owner = owner.rpartition(".")[0]
        if owner:
            uses.append(began[owner])
    return min(uses, default=0)


def _outermost(calls: Sequence[Call], until: int) -> list[Call]:
    """The calls that end before `until` and that no other such one contains.

    A call whose output is not one for each image counts as the calls that it contains.
    """
    found: list[Call] = []
    for call in reversed(calls):
        if call.ended < until and call.is_per_image:
            found.append(call)
            until = call.began
    return found[::-1]
