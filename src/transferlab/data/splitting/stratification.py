"""Divides samples over splits: stratified, grouped and without leaks; chooses nested subsets of a split.

Works on a catalog's table alone. The order in which samples are considered is a hash of (seed, name), so
the split depends neither on the order of files nor on the machine.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from transferlab.data.data_error import DataError, some
from transferlab.run.randomness import derived_seed


def inseparable(table: pd.DataFrame) -> np.ndarray:
    """For each row the number of its unit: rows that share a group or a content hash share a unit."""
    rows = np.arange(len(table))
    names = [rows]
    offset = len(table)
    for column in ("group", "content"):
        codes, values = pd.factorize(table[column])
        # a row without a group (code -1) is tied to itself
        names.append(np.where(codes < 0, rows, codes + offset))
        offset += len(values)
    ties = coo_array(
        (np.ones(3 * len(table)), (np.tile(rows, 3), np.concatenate(names))), shape=(offset, offset)
    )
    _, component = connected_components(ties, directed=False)
    return pd.factorize(component[: len(table)])[0]


def stratified_splits(
    table: pd.DataFrame, fractions: dict[str, float], classes: tuple[str, ...], seed: int
) -> pd.Series:
    """A split's name for every row: units whole, every class in every split, class shares unchanged.

    `fractions` are shares of the samples by split; they sum to 1.

    Raises:
        DataError: a class has fewer units than there are splits.
    """
    names = list(fractions)
    units = inseparable(table)
    labels = table["label"].fillna(len(classes)).to_numpy(dtype=np.int64)
    counts_UC = np.zeros((int(units.max()) + 1, len(classes) + 1), dtype=np.int64)
    np.add.at(counts_UC, (units, labels), 1)
    _refuse_rare(counts_UC[:, :-1], classes, names)
    order_U = np.full(len(counts_UC), np.iinfo(np.int64).max)
    np.minimum.at(order_U, units, [derived_seed("split", seed, sample) for sample in table["sample"]])
    wanted_CS = np.stack([wanted_counts(n, list(fractions.values())) for n in counts_UC.sum(0)])
    splits_U = distribute(counts_UC, wanted_CS, order_U)
    result = pd.Series(np.array(names, dtype=object)[splits_U[units]], index=table.index)
    _refuse_uncovered(result, table["label"], classes, names)
    return result


def wanted_counts(num: int, fractions: list[float]) -> np.ndarray:
    """`num` samples over splits: at least one each where possible, rounded, the rest to the first split.

    >>> wanted_counts(10, [0.6, 0.2, 0.2]).tolist(), wanted_counts(3, [0.6, 0.2, 0.2]).tolist()
    ([6, 2, 2], [1, 1, 1])
    """
    if num == 0:
        return np.zeros(len(fractions), dtype=np.int64)
    counts = np.array([max(1, round(num * fraction)) for fraction in fractions])
    counts[0] = num - counts[1:].sum()
    for split in range(len(counts) - 1, 0, -1):  # tiny classes: the first split needs one, too
        while counts[0] < 1 and counts[split] > 1:
            counts[split] -= 1
            counts[0] += 1
    return counts


def distribute(counts_UC: np.ndarray, wanted_CS: np.ndarray, order_U: np.ndarray) -> np.ndarray:
    """A split for each unit so that classes come near their wanted counts.

    Iterative stratification (Sechidis et al. 2011, On the Stratification of Multi-label Data): the class with
    the fewest units goes first, its largest units first, each to the split that still wants most of it.
    """
    needs_CS = wanted_CS.astype(np.int64).copy()
    needs_S = needs_CS.sum(0)
    splits_U = np.full(len(counts_UC), -1)
    has_UC = counts_UC > 0
    sizes_U = counts_UC.sum(1)
    while (splits_U < 0).any():
        left_C = has_UC[splits_U < 0].sum(0)
        rarest = int(np.where(left_C > 0, left_C, np.iinfo(np.int64).max).argmin())
        members = np.flatnonzero(has_UC[:, rarest] & (splits_U < 0))
        members = members[np.lexsort((order_U[members], -sizes_U[members]))]
        placed = np.bincount(splits_U[has_UC[:, rarest] & (splits_U >= 0)], minlength=needs_CS.shape[1])
        for position, unit in enumerate(members):
            lacking = placed == 0
            must_fill = len(members) - position <= lacking.sum()
            allowed = np.flatnonzero(lacking) if must_fill else np.arange(len(placed))
            urgency = [(needs_CS[rarest, split], needs_S[split], -split) for split in allowed]
            split = int(allowed[max(range(len(allowed)), key=urgency.__getitem__)])
            splits_U[unit] = split
            placed[split] += 1
            needs_CS[:, split] -= counts_UC[unit]
            needs_S[split] -= sizes_U[unit]
    return splits_U


def _refuse_rare(counts_UC: np.ndarray, classes: tuple[str, ...], names: list[str]) -> None:
    units_C = (counts_UC > 0).sum(0)
    rare = [
        f"{name} (images: {images}, apart: {units})"
        for name, units, images in zip(classes, units_C, counts_UC.sum(0), strict=True)
        if 0 < units < len(names)
    ]
    if rare:
        raise DataError(
            f"Too few images of {some(rare)}. Each of {', '.join(names)} needs one, so a class needs at "
            f"least {len(names)} images that are no copies of each other and in no common group. Add "
            "images, or leave the class out."
        )


def _refuse_uncovered(
    splits: pd.Series, labels: pd.Series, classes: tuple[str, ...], names: list[str]
) -> None:
    for code in sorted(labels.dropna().unique()):
        absent = set(names) - set(splits[labels == code])
        if absent:
            raise DataError(
                f"No split of the groups leaves class {classes[int(code)]} in {', '.join(sorted(absent))}: "
                "its groups are tied to those of other classes. Use another data.split_seed or fix the split "
                "yourself."
            )


def nested_subset(
    table: pd.DataFrame, *, fraction: float | None, shots_per_class: int | None, seed: int
) -> np.ndarray:
    """The rows that stay, as booleans: a share of each class, in (0, 1], or so many images of each.

    Each class is taken in an order that depends on (seed, sample) alone, so a smaller subset lies inside
    every larger one, and the k shots of a class are the first k of its fraction. At least one image stays; a
    class with fewer than `shots_per_class` stays whole.
    """
    order = np.array([derived_seed("subset", seed, sample) for sample in table["sample"]], dtype=np.int64)
    keep = np.zeros(len(table), dtype=bool)
    for _, rows in table.groupby("label", dropna=False).indices.items():
        limit = len(rows) if shots_per_class is None else shots_per_class
        if fraction is not None:
            limit = max(1, math.ceil(fraction * len(rows) - 1e-9))
        keep[rows[np.argsort(order[rows], kind="stable")[:limit]]] = True
    return keep
