"""Where a network's frozen stages end, and how to run what comes after on activations alone.

The network is not taken apart. While it runs from a boundary, each module before it answers with a
placeholder of the right shape, without computing anything, and the module at the boundary answers with the
activations. So whatever stands between modules (position embeddings, flattening) works in every architecture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only

from transferlab.backbone.stages import Stage

if TYPE_CHECKING:
    from transferlab.backbone.network import Backbone


class NoBoundary(Exception):
    """A network that can not be cut there; the text says why."""


@dataclass(frozen=True)
class Boundary:
    """The place behind a network's first stages.

    Attributes:
        frozen_stages: how many stages come before it.
        module: the module whose output is the activation; empty: the network itself, whose features it is.
        shape: of one image's activation.
        prefix_flops: operations for one image that it spares.
        skipped: the modules before it and what each answers, as a nest of shapes for one image.
    """

    frozen_stages: int
    module: str
    shape: tuple[int, ...]
    prefix_flops: int
    skipped: dict[str, Any]


@dataclass(frozen=True)
class _Call:
    """One call of a module, in the order in which calls end."""

    module: str
    began: int
    ended: int
    output: Any


def find_boundary(backbone: Backbone, frozen_stages: int) -> Boundary:
    """The last place before anything of the later stages is used.

    Whether the rest can really be computed from there, `differs` tells.

    Args:
        backbone: any.
        frozen_stages: how many come before the boundary, from 1; all of them: the features.

    Raises:
        NoBoundary: there is no such place.
    """
    network, stages, side = backbone.network, backbone.stages, backbone.preprocessing["image_size"]
    assert 0 < frozen_stages <= len(stages), frozen_stages
    if backbone.gradient_checkpointing and frozen_stages < len(stages):
        raise NoBoundary("backbone.gradient_checkpointing=true runs stages once more in the backward pass")
    image = torch.zeros(1, 3, side, side, device=next(network.parameters()).device)
    with evaluating(network), torch.no_grad():
        if frozen_stages == len(stages):
            features_1D = network(image)
            return Boundary(frozen_stages, "", tuple(features_1D.shape[1:]), _flops(network, image), {})
        calls = _recorded(network, image)
        first_open = _first_use(network, calls, stages[frozen_stages:])
        before = [call for call in calls if call.ended < first_open]
        if not before:
            raise NoBoundary("its later stages are used before anything else")
        last = before[-1]
        if not isinstance(last.output, Tensor) or last.output.shape[0] != 1:
            raise NoBoundary(f"{last.module} gives more than one tensor")
        if sum(call.module == last.module for call in calls) > 1:
            raise NoBoundary(f"{last.module} is used more than once")
        skipped = _outermost(before[:-1], last)
        shapes = {
            call.module: tree_map_only(Tensor, lambda tensor: tensor.shape, call.output) for call in skipped
        }
        flops = _flops(partial(_output_of, network, last.module), image)
        return Boundary(frozen_stages, last.module, tuple(last.output.shape[1:]), flops, shapes)


def activations(backbone: Backbone, boundary: Boundary, images_NCHW: Tensor) -> Tensor:
    """The activations (N, *boundary.shape) of images; what comes after the boundary is not run."""
    with torch.no_grad():
        if not boundary.module:
            return backbone.network(images_NCHW)
        return _output_of(backbone.network, boundary.module, images_NCHW)


def run_rest(backbone: Backbone, boundary: Boundary, activations: Tensor) -> Tensor:
    """The features of images whose activations (N, *boundary.shape) at the boundary these are."""
    if not boundary.module:
        return activations
    count, side = len(activations), backbone.preprocessing["image_size"]
    answers: dict[str, Callable[..., Any]] = {
        name: partial(_placeholder, shapes, activations) for name, shapes in boundary.skipped.items()
    }
    answers[boundary.module] = lambda *inputs, **named: activations
    with _answering(backbone.network, answers):
        return backbone.network(activations.new_zeros(()).expand(count, 3, side, side))


def differs(backbone: Backbone, boundary: Boundary, images_NCHW: Tensor) -> str | None:
    """What is not bit for bit the same with the network cut, on these images; None: nothing.

    Compared are the features and the gradients of every parameter behind the boundary, in evaluation mode.
    """
    if not boundary.module:
        return None
    later = [name for stage in backbone.stages[boundary.frozen_stages :] for name in stage.parameters]
    parameters = [backbone.network.get_parameter(name) for name in later]
    with evaluating(backbone.network), _only_trainable(backbone.network, parameters):
        whole = backbone.network(images_NCHW)
        try:
            rest = run_rest(backbone, boundary, activations(backbone, boundary, images_NCHW))
        except Exception as error:  # whatever a network's own code says to a placeholder
            return f"{boundary.module} does not stand on its own ({type(error).__name__}: {error})"
        if not torch.equal(whole, rest):
            return f"behind {boundary.module} the features would differ"
        gradients = [
            torch.autograd.grad(features.float().square().sum(), parameters, allow_unused=True)
            for features in (whole, rest)
        ]
    for name, expected, got in zip(later, *gradients, strict=True):
        same = got is None if expected is None else got is not None and torch.equal(expected, got)
        if not same:
            return f"behind {boundary.module} the gradient of {name} would differ"
    return None


def _output_of(network: nn.Module, module: str, images_NCHW: Tensor) -> Tensor:
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
def evaluating(network: nn.Module) -> Iterator[None]:
    """The network in evaluation mode, afterwards each module as it was."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


@contextmanager
def _only_trainable(network: nn.Module, parameters: list[nn.Parameter]) -> Iterator[None]:
    """Gradients for these parameters alone, afterwards for those as before."""
    before = {parameter: parameter.requires_grad for parameter in network.parameters()}
    network.requires_grad_(False)
    for parameter in parameters:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter, required in before.items():
            parameter.requires_grad_(required)


@contextmanager
def _answering(network: nn.Module, answers: dict[str, Callable[..., Any]]) -> Iterator[None]:
    """Modules give these answers instead of computing."""
    modules = [network.get_submodule(name) for name in answers]
    for module, answer in zip(modules, answers.values(), strict=True):
        module.forward = answer
    try:
        yield
    finally:
        for module in modules:
            del module.forward


def _placeholder(shapes: Any, activations: Tensor, *inputs: Any, **named: Any) -> Any:
    """Zeros of these shapes, but for as many images as there are activations; without memory."""
    zero, count = activations.new_zeros(()), len(activations)
    return tree_map(
        lambda shape: zero.expand(count, *shape[1:]),
        shapes,
        is_leaf=lambda node: isinstance(node, torch.Size),
    )


def _is_for_one_image(output: Any) -> bool:
    """Whether the first axis of every tensor counts images."""
    return all(tensor.shape[:1] == (1,) for tensor in tree_leaves(output) if isinstance(tensor, Tensor))


def _recorded(network: nn.Module, image_13HW: Tensor) -> list[_Call]:
    """Every call of every module in a forward pass, in the order in which they end."""
    time = iter(range(10**9))
    running: list[tuple[str, int]] = []
    calls: list[_Call] = []

    def begin(name: str, module: nn.Module, inputs: Any) -> None:
        running.append((name, next(time)))

    def end(module: nn.Module, inputs: Any, output: Any) -> None:
        name, began = running.pop()
        calls.append(_Call(name, began, next(time), output))

    named = [(name, module) for name, module in network.named_modules() if name]
    hooks = [module.register_forward_pre_hook(partial(begin, name)) for name, module in named]
    hooks += [module.register_forward_hook(end) for _, module in named]
    try:
        network(image_13HW)
    finally:
        for hook in hooks:
            hook.remove()
    return calls


def _first_use(network: nn.Module, calls: list[_Call], later: tuple[Stage, ...]) -> int:
    """When the first module begins that owns a parameter of the later stages."""
    owners = {name.rpartition(".")[0] for stage in later for name in stage.parameters}
    uses = [call.began for call in calls if call.module in owners]
    if not uses:
        raise NoBoundary("its later stages are not modules of their own")
    return min(uses)


def _outermost(calls: list[_Call], last: _Call) -> list[_Call]:
    """Of the calls before the last one those that no other one contains, of modules that are called once."""
    names = [call.module for call in calls]
    whole: list[_Call] = []
    end = last.began
    for call in reversed(calls):
        if call.ended < end and names.count(call.module) == 1 and _is_for_one_image(call.output):
            whole.append(call)
            end = call.began
    return whole


def _flops(run: Callable[[Tensor], Tensor], image_13HW: Tensor) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        run(image_13HW)
    return int(counter.get_total_flops())
