"""A network as an ordered list of stages, from the input to the output.

timm describes every architecture's depth by a `group_matcher`; its coarse groups, in order, are the stages.
A stage holds at least 1 % of the parameters: smaller groups (a stem, a last norm, a final convolution) merge
into a neighbour, so that "the last k stages" means something in every family.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from timm.models import group_parameters
from torch import nn

_SMALLEST_SHARE = 0.01
_MATCHERS = {
    # timm's own lays the blocks of the class token, which run last, over the last of the others
    "Cait": {
        "stem": r"^(?:cls_token|pos_embed|patch_embed)",
        "blocks": r"^blocks\.(\d+)",
        "blocks_token_only": [(r"^blocks_token_only\.(\d+)", None), (r"^norm", (99999,))],
    },
}


@dataclass(frozen=True)
class Stage:
    """One stage: what to call it and the names of its parameters within the network."""

    name: str
    parameters: tuple[str, ...]


def ordered_stages(network: nn.Module) -> tuple[Stage, ...]:
    """The stages of a timm network, input first; every parameter is in exactly one of them."""
    sizes = {name: parameter.numel() for name, parameter in network.named_parameters()}
    named = _groups(network)
    merged = merge_small(named, [sum(sizes[name] for name in names) for names in named])
    stages = tuple(Stage(_name(names, sizes), tuple(names)) for names in merged)
    listed = [name for stage in stages for name in stage.parameters]
    assert sorted(listed) == sorted(sizes), "timm's group_matcher left out or repeated a parameter"
    return stages


def stage_of_modules(network: nn.Module, stages: Sequence[Stage]) -> dict[str, int]:
    """The position of the stage that each module without parameters (a dropout) belongs to, by its name.

    It is that of the parameter registered last before the module: a dropout behind the patch embedding is of
    the first stage. In a list without parameters, each item follows the item of the same number in the list
    before.
    """
    position = {name: number for number, stage in enumerate(stages) for name in stage.parameters}
    found: dict[str, int] = {}
    seen: set[nn.Module] = set()  # coat has modules in several places

    def walk(module: nn.Module, path: str, before: int) -> int:
        """Assigns what is within a module; returns the stage of its last parameter."""
        own = [name for name in (f"{path}{each}" for each in module._parameters) if name in position]
        before = position[own[-1]] if own else before
        items: list[int] = []  # of the list just passed, the stage of each item
        for name, child in module.named_children():
            if child in seen:
                continue
            seen.add(child)
            inside = f"{path}{name}."
            if next(child.parameters(), None) is not None:
                parts = dict(child.named_children()) if isinstance(child, nn.ModuleList) else {}
                before = walk(child, inside, before)
                last = [[n for n in position if n.startswith(f"{inside}{part}.")] for part in parts]
                items = [position[names[-1]] for names in last if names]
                continue
            of_items = list(child.children()) if isinstance(child, nn.ModuleList) else []
            for below, part in child.named_modules():
                if below and part in seen:
                    continue
                seen.add(part)
                number = below.split(".")[0]
                follows = of_items and len(of_items) == len(items) and number.isdigit()
                found[f"{path}{name}.{below}".rstrip(".")] = items[int(number)] if follows else before
        return before

    walk(network, "", 0)
    return found


def _groups(network: nn.Module) -> list[list[str]]:
    """Parameter names by depth, as timm groups them; where it has no groups, by modules in their order."""
    try:
        matcher = _MATCHERS.get(type(network).__name__) or network.group_matcher(coarse=True)  # type: ignore[operator]
        groups = group_parameters(network, matcher)
    except (AttributeError, AssertionError):
        if hasattr(network, "group_matcher") and not type(network).__module__.startswith("timm."):
            raise  # a user's own
        modules: dict[str, list[str]] = {}
        for name, _ in network.named_parameters():
            modules.setdefault(".".join(name.split(".")[:-1][:2]), []).append(name)
        return list(modules.values())
    return [list(names) for _, names in sorted(groups.items(), key=lambda item: item[0])]


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


def _name(names: Sequence[str], sizes: Mapping[str, int], inside: str = "") -> str:
    """The module that holds most of a stage: `layer3`, `blocks.4`; several of a list: `features.6-7`."""
    shares: dict[str, int] = {}
    for name in names:
        child = inside + name.removeprefix(inside).split(".")[0]
        shares[child] = shares.get(child, 0) + sizes[name]
    largest = max(shares, key=lambda child: shares[child])
    if not _is_whole(largest, names, sizes):
        return _name([name for name in names if name.startswith(f"{largest}.")], sizes, f"{largest}.")
    whole = [child for child in shares if _is_whole(child, names, sizes)] if inside else [largest]
    return whole[0] if len(whole) == 1 else f"{whole[0]}-{whole[-1].removeprefix(inside)}"


def _is_whole(module: str, names: Sequence[str], sizes: Mapping[str, int]) -> bool:
    """True if all parameters of a module are among these names."""
    return all(name in names for name in sizes if name == module or name.startswith(f"{module}."))
