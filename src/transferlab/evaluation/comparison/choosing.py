"""The choice of hyperparameters: groups of one method, of which the best score by validation is chosen."""

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
    """Key of the training of each group; the same text for those that learn the same."""
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


def chosen_on_validation(
    of_method: Sequence[str], scores: Sequence[float | None], num_finished: Sequence[int]
) -> list[bool]:
    """Of each method the group with the best score, the first of equals, if it has the most finished runs.

    A setting that lacks runs which others of its method have is not chosen: the seeds that are left may be
    the lucky ones. A group that is its method's only one needs no score.

    Args:
        of_method: each group's method.
        scores: each group's score, higher is better; None where nothing has finished.
        num_finished: each group's finished runs.
    """
    most: dict[str, int] = {}
    for method, score, finished in zip(of_method, scores, num_finished, strict=True):
        if score is not None:
            most[method] = max(most.get(method, 0), finished)
    best: dict[str, int] = {}
    for position, (method, score) in enumerate(zip(of_method, scores, strict=True)):
        earlier = scores[best[method]] if method in best else None
        is_complete = num_finished[position] == most.get(method)
        if score is not None and is_complete and (earlier is None or score > earlier):
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
