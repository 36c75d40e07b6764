"""Bit-for-bit comparison of two ways to run a network: features, gradients, statistics, random numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

_MOST_NOISE = 10.0  # of the distance between two runs of the same network

Outcome = Mapping[str, Tensor | None]


def outcome(network: nn.Module, run: Callable[[], Tensor]) -> Outcome:
    """Run from a fixed state of the random numbers and leave the network as it was.

    Returns:
        By name the features (N, D) that `run` gives, the gradients where they are enabled, the running
        statistics and the next random numbers.
    """
    parameters = {name: p for name, p in network.named_parameters() if p.requires_grad}
    device = next(network.parameters()).device
    with unchanged(network):
        torch.manual_seed(0)
        features_ND = run()
        found: dict[str, Tensor | None] = {"the features": features_ND.detach()}
        found["the random numbers"] = torch.stack([torch.rand(()), torch.rand((), device=device).cpu()])
        for name, buffer in network.named_buffers():
            found[f"the statistics {name}"] = buffer.clone()
        if features_ND.requires_grad:
            # weighted: behind a layer norm, the plain sum of squares is a constant
            weights_D = torch.linspace(-1.0, 1.0, features_ND.shape[1], device=device)
            loss = (features_ND.float() * weights_D).square().sum()
            gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
            found |= {f"the gradient of {name}": g for name, g in zip(parameters, gradients, strict=True)}
    return found


def first_difference(
    network: nn.Module, whole: Callable[[], Tensor], rest: Callable[[], Tensor]
) -> str | None:
    """The first thing that is not the same after two ways to run a network; None: nothing.

    Where a device computes something else each time, as close as one way comes to itself is close enough.
    """
    expected, got = outcome(network, whole), outcome(network, rest)
    distances = {what: _distance(one, got[what]) for what, one in expected.items()}
    if not any(distances.values()):
        return None
    again = outcome(network, whole)
    for what, distance in distances.items():
        if distance > _MOST_NOISE * _distance(expected[what], again[what]):
            return what
    return None


def _distance(one: Tensor | None, other: Tensor | None) -> float:
    """The norm of the difference; 0 where the two are bit for bit the same, and nowhere else."""
    if one is None or other is None:
        return 0.0 if one is other else float("inf")
    if torch.equal(one, other):
        return 0.0
    norm = (one.double() - other.double()).norm().item()
    return norm if norm > 0.0 else float("inf")  # not a number is further than anything


@contextmanager
def unchanged(network: nn.Module) -> Iterator[None]:
    """Leave modes, `requires_grad`, running statistics and random numbers as they were."""
    modes = {module: module.training for module in network.modules()}
    learning = {parameter: parameter.requires_grad for parameter in network.parameters()}
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    device = next(network.parameters()).device
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        network.train()  # some networks drop here what they cached in an evaluation
        for module, training in modes.items():
            module.train(training)  # of a module within it, the mode comes later
        for parameter, learns in learning.items():
            parameter.requires_grad_(learns)
        with torch.no_grad():
            for name, buffer in network.named_buffers():
                buffer.copy_(buffers[name])
