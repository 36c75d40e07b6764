"""Which groups are one method with different hyperparameters, and which of them validation chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transferlab.evaluation.comparison.grouping import Group

# What is learned, as opposed to how: not to be chosen by results
_TASK = (
    "data.root",
    "data.source",
    "data.target",
    "data.shots_per_class",
    "data.fraction",
    "data.val_fraction",
    "data.test_fraction",
    "data.split_seed",
    "data.num_folds",
)


def tasks(groups: Sequence[Group]) -> list[str]:
    """What each group learns; the same text for those that learn the same."""
    return [_told(group, [name for name in group.settings if _is_task(name)]) for group in groups]


def methods(groups: Sequence[Group]) -> list[str]:
    """Task and method of each group: the same text for those that differ in hyperparameters alone.

    A hyperparameter is a setting that is a number, or null, in all groups; options, names and switches make
    another method, and other data another task.
    """
    names = list(groups[0].settings) if groups else []
    hyperparameters = {
        name
        for name in names
        if not _is_task(name) and all(_is_number(group.settings[name]) for group in groups)
    }
    kept = [name for name in names if name not in hyperparameters]
    return [_told(group, kept) for group in groups]


def chosen_on_validation(of_method: Sequence[str], val_means: Sequence[float | None]) -> list[bool]:
    """Of each method the group with the best validation metric, the first of equals.

    A group that is its method's only one needs no metric.

    Args:
        of_method: each group's method.
        val_means: each group's metric, higher is better; None where nothing has finished.
    """
    best: dict[str, int] = {}
    for position, (method, value) in enumerate(zip(of_method, val_means, strict=True)):
        earlier = val_means[best[method]] if method in best else None
        if value is not None and (earlier is None or value > earlier):
            best[method] = position
    return [
        best.get(method) == position or of_method.count(method) == 1
        for position, method in enumerate(of_method)
    ]


def _is_task(name: str) -> bool:
    dotted = name.replace("/", ".")
    return dotted == "data" or any(dotted == key or dotted.startswith(f"{key}.") for key in _TASK)


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _told(group: Group, names: Sequence[str]) -> str:
    settings: Mapping[str, Any] = group.settings
    return repr([settings[name] for name in names])
