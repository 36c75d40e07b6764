"""Warm start: a training goes on with the head of a trained model; classes are matched by name.

Which axes of a head's tensors count classes is found by building it for several numbers of classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from transferlab.config.annotation import plain
from transferlab.data.data_error import some
from transferlab.model.classifier import Classifier
from transferlab.model.trained_head import ModelError, TrainedHead

State = Mapping[str, Tensor]
_BACKBONE_ALONE = "strategy.start_from=weights goes on with its backbone alone."


def warm_start(
    network: Classifier, trained: TrainedHead, classes: Sequence[str], build: Callable[[int], nn.Module]
) -> tuple[str, ...]:
    """Let a network with a fresh head go on from a trained one; return notes for the user.

    The trained rows go to the classes of the same names; those of new classes stay fresh. The bottlenecks,
    where there are any, are of one size. `build` makes a fresh head by its number of classes.

    Raises:
        ModelError: no class in common, another kind of head, or one whose rows cannot be matched.
    """
    common = [name for name in classes if name in trained.classes]
    if not common:
        raise ModelError(
            f"strategy.start_from=model: the model in {trained.folder} has the classes "
            f"{some(trained.classes)}, and the data has {some(classes)}: none in common. "
            f"Fix: {_BACKBONE_ALONE}"
        )
    with torch.random.fork_rng(devices=[]):  # only the shapes matter
        alike, larger = build(len(trained.classes)), build(len(classes) + 1)
    if _structure(alike) != _structure(trained.head):
        raise ModelError(
            f"strategy.head: the model in {trained.folder} has another head, {trained.node['_target_']}. "
            f"Fix: choose this class, {_arguments(trained.node)}; or {_BACKBONE_ALONE}"
        )
    old, fresh = trained.head.state_dict(), network.head.state_dict()
    if tuple(classes) != trained.classes:
        axes = class_axes(
            {len(trained.classes): old, len(classes): fresh, len(classes) + 1: larger.state_dict()}
        )
        if axes is None:
            raise ModelError(
                f"strategy.start_from=model: a head of {trained.node['_target_']} has tensors without one "
                "entry per class, so the data must have the model's classes in the same order: "
                f"{some(trained.classes)}. Fix: {_BACKBONE_ALONE}"
            )
        rows = [trained.classes.index(name) for name in common]
        places = [classes.index(name) for name in common]
        old = {name: _with_rows(fresh[name], places, old[name], rows, axes[name]) for name in fresh}
    network.head.load_state_dict(old)
    if trained.bottleneck is not None:
        network.bottleneck.load_state_dict(trained.bottleneck.state_dict())
    lost = [name for name in trained.classes if name not in common]
    new = [name for name in classes if name not in common]
    notes = (
        (lost, "of the model's classes are not in the data: their rows of the head are left out."),
        (new, "are not among the model's classes: their rows of the head start fresh."),
    )
    return tuple(f"strategy.start_from=model: {some(names)} {what}" for names, what in notes if names)


def class_axes(states: Mapping[int, State]) -> dict[str, list[int]] | None:
    """The axes that count classes, by the names of a head's tensors; None where a tensor depends on their
    number in another way. `states` are of one head by its number of classes, for two numbers at least.
    """
    first, *others = states.values()
    if any(other.keys() != first.keys() for other in others):
        return None
    found: dict[str, list[int]] = {name: [] for name in first}
    for name in first:
        shapes = [state[name].shape for state in states.values()]
        if len({len(shape) for shape in shapes}) > 1:
            return None
        for axis, sizes in enumerate(zip(*shapes, strict=True)):
            if sizes == tuple(states):
                found[name].append(axis)
            elif len(set(sizes)) > 1:
                return None
    return found


def _structure(module: nn.Module) -> tuple[list[tuple[str, type]], dict[str, torch.Size]]:
    """Equal for modules of the same kinds and shapes, whatever else they were made with."""
    kinds = [(name, type(inner)) for name, inner in module.named_modules()]
    return kinds, {name: tensor.shape for name, tensor in module.state_dict().items()}


def _arguments(node: Mapping[str, Any]) -> str:
    given = [f"strategy.head.{name}={plain(value)}" for name, value in node.items() if name != "_target_"]
    return f"with {' '.join(given)}" if given else "which takes no arguments"


def _with_rows(
    fresh: Tensor, places: Sequence[int], old: Tensor, rows: Sequence[int], axes: Sequence[int]
) -> Tensor:
    """`old`; with axes a copy of `fresh` with these rows of `old` at these places of each of them."""
    if not axes:
        return old
    for axis in axes:
        old = old.index_select(axis, torch.tensor(rows))
    along = [torch.arange(size) for size in fresh.shape]
    for axis in axes:
        along[axis] = torch.tensor(places)
    result = fresh.clone()
    result[torch.meshgrid(*along, indexing="ij")] = old.to(fresh.dtype)
    return result
