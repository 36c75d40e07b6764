"""The boundary behind a network's frozen first stages, and running the network up to it or from there on.

The network is not taken apart. While it runs from a boundary, each module before it answers with a
placeholder of the right shape, without computing anything, and the module at the boundary answers with the
activations. So whatever stands between modules (position embeddings, flattening) works in every architecture.
Placeholders are not-a-number: where something behind the boundary depends on one, its result cannot be
mistaken for features.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

if TYPE_CHECKING:
    from transferlab.backbone.network import Backbone


@dataclass(frozen=True)
class Placeholder:
    """Stands for a tensor that is not computed: its shape for one image, and its type."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    def made(self, count: int, device: torch.device) -> Tensor:
        """A tensor (count, *shape) that takes no memory."""
        fill = float("nan") if self.dtype.is_floating_point else 0
        return torch.full((), fill, dtype=self.dtype, device=device).expand(count, *self.shape)


@dataclass(frozen=True)
class Boundary:
    """A place behind a network's first stages.

    Attributes:
        frozen_stages: how many stages come before it; all of them: the activation is the pooled features.
        module: the module whose output is the activation; empty: the network itself.
        shape: of one image's activation.
        dtype: of the activation, under the autocast in which the boundary was found.
        axes: of a batch of activations, from the slowest in memory to the fastest.
        is_overwritten: whether what comes next computes in the activation's own memory.
        image_size: height and width of the images in pixels.
        skipped: the calls of modules before it, in their order: a name, and a nest of what the module gives,
            in which placeholders stand for tensors.
        prefix_flops: floating-point operations for one image that it spares in a forward pass.
        total_flops: those of the whole network.
    """

    frozen_stages: int
    module: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    axes: tuple[int, ...]
    is_overwritten: bool
    image_size: tuple[int, int]
    skipped: tuple[tuple[str, Any], ...]
    prefix_flops: int
    total_flops: int

    def laid_out(self, activations: Tensor) -> Tensor:
        """Activations (N, *shape) in the type and the order in memory in which the network makes them.

        Kernels, and so last bits and the numbers that dropout draws, depend on the order.
        """
        assert activations.shape[1:] == self.shape, (activations.shape, self.shape)
        back = sorted(range(len(self.axes)), key=self.axes.__getitem__)
        return activations.to(self.dtype).permute(self.axes).contiguous().permute(back)


def axes_in_memory(tensor: Tensor) -> tuple[int, ...]:
    """The axes from the slowest to the fastest; those of one element, which have no order, as they stand.

    >>> axes_in_memory(torch.zeros(2, 3, 4, 4).to(memory_format=torch.channels_last))
    (0, 2, 3, 1)
    """
    real = [axis for axis in range(tensor.ndim) if tensor.shape[axis] > 1]
    ordered = iter(sorted(real, key=tensor.stride, reverse=True))
    return tuple(next(ordered) if tensor.shape[axis] > 1 else axis for axis in range(tensor.ndim))


def activations(backbone: Backbone, boundary: Boundary, images_NCHW: Tensor) -> Tensor:
    """The activations (N, *boundary.shape) of images, without gradients; what comes after is not run.

    Modules run in the modes that they are in: frozen ones belong in evaluation mode.
    """
    with torch.no_grad():
        if not boundary.module:
            return backbone.network(images_NCHW)
        return output_at(backbone.network, boundary.module, images_NCHW)


def run_rest(network: nn.Module, boundary: Boundary, activations: Tensor) -> Tensor:
    """The features (N, D) of the images whose activations (N, *boundary.shape) at the boundary these are."""
    if not boundary.module:
        return activations
    held = boundary.laid_out(activations)
    if boundary.is_overwritten:
        held = held.clone()
    answers: dict[str, deque[Any]] = defaultdict(deque)
    for name, nest in boundary.skipped:
        answers[name].append(
            tree_map_only(Placeholder, lambda placeholder: placeholder.made(len(held), held.device), nest)
        )
    answers[boundary.module].append(held)
    images = Placeholder((3, *boundary.image_size), torch.get_default_dtype())
    with _answering(network, answers):
        return network(images.made(len(held), held.device))


def output_at(network: nn.Module, module: str, images_NCHW: Tensor) -> Tensor:
    """The output of a module, without running what comes after it."""

    def stop(_: nn.Module, inputs: Any, output: Tensor) -> None:
        raise _Reached(output)

    hook = network.get_submodule(module).register_forward_hook(stop)
    try:
        network(images_NCHW)
    except _Reached as reached:
        return reached.output
    finally:
        hook.remove()
    raise AssertionError(f"{module} was not reached")


class _Reached(Exception):
    """The boundary, in the middle of a forward pass."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output


@contextmanager
def _answering(network: nn.Module, answers: Mapping[str, deque[Any]]) -> Iterator[None]:
    """Modules give these answers, one in each call, instead of computing; after the last one they compute."""
    modules = {name: network.get_submodule(name) for name in answers}
    own = {name: vars(module)["forward"] for name, module in modules.items() if "forward" in vars(module)}
    for name, module in modules.items():
        module.forward = partial(_next_answer, answers[name], module.forward)
    try:
        yield
    finally:
        for name, module in modules.items():
            if name in own:
                module.forward = own[name]
            else:
                del module.forward


def _next_answer(answers: deque[Any], forward: Callable[..., Any], *inputs: Any, **named: Any) -> Any:
    return answers.popleft() if answers else forward(*inputs, **named)
