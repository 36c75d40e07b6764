"""Where a network's frozen stages end: the last place behind which activations can stand for images.

`find_boundary` finds it; `differs` compares, on images, what the network gives and learns from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from transferlab.backbone.bit_comparison import first_difference, unchanged
from transferlab.backbone.calls import Call, prefixes, recorded
from transferlab.backbone.cut import Boundary, activations, axes_in_memory, output_at, run_rest
from transferlab.backbone.freezing import freeze_all_but_last, set_modes
from transferlab.backbone.network import Backbone

__all__ = ["Boundary", "NoBoundary", "activations", "differs", "find_boundary"]

_MOST_TRIES = 8


class NoBoundary(Exception):
    """A network that can not be cut there; the text says why."""


def find_boundary(backbone: Backbone, frozen_stages: int) -> Boundary:
    """The last place before any use of the later stages where one tensor is all that passes.

    Called under the trainer's autocast, it finds the type that activations have there.

    Args:
        backbone: any.
        frozen_stages: how many come before the boundary, from 1; all of them: the features.

    Raises:
        NoBoundary: there is no such place.
    """
    network, stages, side = backbone.network, backbone.stages, backbone.preprocessing["image_size"]
    assert 0 < frozen_stages <= len(stages), frozen_stages
    noise_23SS = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    images = noise_23SS.to(next(network.parameters()).device)
    with unchanged(backbone):
        network.requires_grad_(False)
        set_modes(backbone, len(stages) - frozen_stages, freeze_bn=False)
        with FlopCounterMode(display=False) as flops:
            calls, features_2D = recorded(network, images)
        features = Boundary(
            frozen_stages=frozen_stages,
            module="",
            shape=tuple(features_2D.shape[1:]),
            dtype=features_2D.dtype,
            axes=(0, 1),
            is_overwritten=False,
            image_size=side,
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
            boundary = _cut_behind(prefix, features, backbone, images)
            if boundary is not None:
                return boundary
    raise NoBoundary("no single tensor leads from its first stages to the later ones")


def _cut_behind(
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
    except Exception:  # whatever a network's own code says to placeholders
        return None
    spared = features.total_flops - flops.get_total_flops() // len(images_NCHW)
    return replace(boundary, is_overwritten=held._version != version, prefix_flops=spared)


def differs(backbone: Backbone, boundary: Boundary, images_NCHW: Tensor) -> str | None:
    """What is not bit for bit the same with the network cut, on these images; None: nothing.

    Compared are the features in evaluation, and in training the features, the gradient of every parameter of
    the later stages, running statistics, and whether as many random numbers are drawn.
    """
    if not boundary.module:
        return None
    network, num_open = backbone.network, len(backbone.stages) - boundary.frozen_stages
    if len(images_NCHW) == 1:
        images_NCHW = images_NCHW.repeat(2, 1, 1, 1)  # from one value a batch norm can not learn
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
        except Exception as error:  # whatever a network's own code says to placeholders
            return f"behind {boundary.module} the network does not run ({type(error).__name__}: {error})"
    return None
