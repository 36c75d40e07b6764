"""Finds a network's boundary: the last place behind which activations can stand for images.

`find_boundary` looks at the order of the modules' calls in one forward pass; `differs` compares, on images,
what the network gives and learns from there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.flop_counter import FlopCounterMode

from transferlab.backbone.bit_comparison import first_difference, unchanged
from transferlab.backbone.boundary import (
    Boundary,
    Placeholder,
    activations,
    axes_in_memory,
    output_at,
    run_rest,
)
from transferlab.backbone.freezing import freeze_all_but_last, set_modes
from transferlab.backbone.network import Backbone

_MOST_TRIES = 8


class NoBoundary(Exception):
    """A network without a boundary there; the text says why."""


def find_boundary(backbone: Backbone, frozen_stages: int) -> Boundary:
    """The last place before any use of the later stages where one tensor is all that passes.

    Called under the trainer's autocast, it finds the type that activations have there. With all stages frozen
    it is the features.

    Raises:
        NoBoundary: there is no such place.
    """
    network, stages = backbone.network, backbone.stages
    assert 0 < frozen_stages <= len(stages), frozen_stages
    noise_23HW = torch.randn(2, 3, *backbone.image_sides, generator=torch.Generator().manual_seed(0))
    images = noise_23HW.to(next(network.parameters()).device)
    with unchanged(backbone):
        network.requires_grad_(False)
        set_modes(backbone, len(stages) - frozen_stages, freeze_bn=False)
        with FlopCounterMode(display=False) as flops:
            calls, features_2D = record_calls(network, images)
        features = Boundary(
            frozen_stages=frozen_stages,
            module="",
            shape=tuple(features_2D.shape[1:]),
            dtype=features_2D.dtype,
            axes=(0, 1),
            is_overwritten=False,
            image_size=backbone.image_sides,
            skipped=(),
            prefix_flops=flops.get_total_flops() // 2,
            total_flops=flops.get_total_flops() // 2,
        )
        if frozen_stages == len(stages):
            return features
        if network._compiled_call_impl is not None:
            raise NoBoundary("a compiled network runs only as a whole")
        if backbone.gradient_checkpointing:
            raise NoBoundary("backbone.gradient_checkpointing=true runs stages again in the backward pass")
        later = [name for stage in stages[frozen_stages:] for name in stage.parameters]
        for prefix in prefixes(calls, later)[:_MOST_TRIES]:
            boundary = _boundary_behind(prefix, features, backbone, images)
            if boundary is not None:
                return boundary
    raise NoBoundary("no single tensor leads from its first stages to the later ones")


def _boundary_behind(
    prefix: Sequence[Call], features: Boundary, backbone: Backbone, images_NCHW: Tensor
) -> Boundary | None:
    """The boundary behind the last of these calls; None where more than its output passes.

    `features` is the one behind the whole network.
    """
    *skipped, last = prefix
    network = backbone.network
    network.eval()
    held = output_at(network, last.module, images_NCHW)
    boundary = replace(
        features,
        module=last.module,
        shape=tuple(held.shape[1:]),
        dtype=held.dtype,
        axes=axes_in_memory(held),
        skipped=tuple((call.module, call.output) for call in skipped),
    )
    version, flops = held._version, FlopCounterMode(display=False)

    def rest() -> Tensor:
        with flops:
            return run_rest(network, boundary, held)

    set_modes(backbone, len(backbone.stages) - features.frozen_stages, freeze_bn=False)
    try:
        if first_difference(network, partial(network, images_NCHW), rest) is not None:
            return None
    except Exception:  # a network's own code may raise anything at placeholders
        return None
    spared = features.total_flops - flops.get_total_flops() // len(images_NCHW)
    return replace(boundary, is_overwritten=held._version != version, prefix_flops=spared)


def differs(backbone: Backbone, boundary: Boundary, images_NCHW: Tensor) -> str | None:
    """The first thing that is not bit for bit the same from the boundary on, on these images; None: nothing.

    Compared are the features in evaluation, and in training the features, the gradient of every parameter of
    the later stages, running statistics, and whether as many random numbers are drawn.
    """
    if not boundary.module:
        return None
    network, num_open = backbone.network, len(backbone.stages) - boundary.frozen_stages
    if len(images_NCHW) == 1:
        images_NCHW = images_NCHW.repeat(2, 1, 1, 1)  # from one value a batch norm cannot learn
    with unchanged(backbone):
        freeze_all_but_last(backbone, num_open)
        network.eval()
        held = activations(backbone, boundary, images_NCHW)
        stored = held.clone(memory_format=torch.contiguous_format)
        whole, rest = partial(network, images_NCHW), partial(run_rest, network, boundary, stored)
        try:
            for mode, learns in (("evaluation", False), ("training", True)):
                if learns:
                    set_modes(backbone, num_open, freeze_bn=False)
                with torch.set_grad_enabled(learns):
                    what = first_difference(network, whole, rest)
                if what is not None:
                    return f"behind {boundary.module} {what} would differ in {mode}"
        except Exception as error:  # a network's own code may raise anything at placeholders
            return f"behind {boundary.module} the network does not run ({type(error).__name__}: {error})"
    return None


@dataclass(frozen=True)
class Call:
    """One call of a module."""

    module: str  # its name
    began: int  # a position in the order of all calls' beginnings and ends
    ended: int  # another one; a call that another one contains begins after it and ends before it
    output: Any  # a nest in which placeholders stand for tensors
    is_per_image: bool  # whether the first axis of every tensor counts images


def record_calls(network: nn.Module, images_NCHW: Tensor) -> tuple[list[Call], Tensor]:
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

    Where a module is not called itself, its parameters are used by the one that contains it. No call shows
    what the network's own code does with parameters.
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
