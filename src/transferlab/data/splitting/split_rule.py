"""Gives every sample of a catalog its split, and refuses leaks between splits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from transferlab.data.catalog.catalog import SPLIT_NAMES, Catalog
from transferlab.data.data_error import DataError, some
from transferlab.data.splitting.stratification import inseparable, stratified_splits


@dataclass(frozen=True)
class SplitRule:
    """How samples are divided where their source does not say.

    `conf/data/loading/default.yaml` describes the fields; `seed` is its `split_seed`. Where `fold` is set,
    `val_fraction` is of what the test fold leaves.
    """

    val_fraction: float = 0.2
    test_fraction: float = 0.2
    seed: int = 0
    fold: int | None = None
    num_folds: int = 5
    on_leak: Literal["error", "drop"] = "error"


def with_splits(catalog: Catalog, rule: SplitRule) -> Catalog:
    """The catalog with `split` filled in everywhere; what was decided is added to its notices."""
    given = catalog.table["split"]
    if given.isna().all():
        table = catalog.table.assign(split=_divided(catalog, rule))
        return replace(catalog, table=table)
    if given.isna().any():
        raise DataError(
            f"{int(given.isna().sum())} of {len(given)} samples have no split, e.g. "
            f"{some(catalog.table['sample'][given.isna()], 3)}. Give each train, val or test, or give none."
        )
    if rule.fold is not None:
        raise DataError(
            f"data.fold={rule.fold} divides a data set anew, but this one comes with fixed splits "
            f"({some(given.unique())}). Put its images into one folder, or leave data.fold=null."
        )
    catalog = _without_leaks(catalog, rule)
    return _carved(catalog, rule)


def _divided(catalog: Catalog, rule: SplitRule) -> pd.Series:
    if rule.fold is None:
        fractions = {
            "train": 1 - rule.val_fraction - rule.test_fraction,
            "val": rule.val_fraction,
            "test": rule.test_fraction,
        }
        return stratified_splits(catalog.table, fractions, catalog.classes, rule.seed)
    even = {f"fold {fold}": 1 / rule.num_folds for fold in range(rule.num_folds)}
    folds = stratified_splits(catalog.table, even, catalog.classes, rule.seed)
    splits = folds.where(folds != f"fold {rule.fold}", "test")
    rest = catalog.table[splits != "test"]
    fractions = {"train": 1 - rule.val_fraction, "val": rule.val_fraction}
    splits[rest.index] = stratified_splits(rest, fractions, catalog.classes, rule.seed)
    return splits


def _carved(catalog: Catalog, rule: SplitRule) -> Catalog:
    """Splits that the source lacks, taken from its training split."""
    given = catalog.table["split"]
    if not (given == "train").any():
        raise DataError(f"The data has {some(given.unique())} but no train split.")
    shares = {"val": rule.val_fraction, "test": rule.test_fraction}
    missing = {name: share for name, share in shares.items() if not (given == name).any()}
    if not missing:
        return catalog
    train = catalog.table[given == "train"]
    fractions = {"train": 1 - sum(missing.values()), **missing}
    splits = given.copy()
    splits[train.index] = stratified_splits(train, fractions, catalog.classes, rule.seed)
    shared = " and ".join(f"{share:.0%} as {name}" for name, share in missing.items())
    notice = (
        f"The data has no {' and no '.join(missing)} split: {shared} held out of train (split_seed "
        f"{rule.seed})."
    )
    return replace(catalog, table=catalog.table.assign(split=splits), notices=(*catalog.notices, notice))


def _without_leaks(catalog: Catalog, rule: SplitRule) -> Catalog:
    leaks = find_leaks(catalog.table)
    if leaks.empty:
        return catalog
    rank = leaks["split"].map({name: number for number, name in enumerate(SPLIT_NAMES)})
    last = rank.groupby(leaks["unit"]).transform("max")
    earlier = leaks[rank < last]
    if rule.on_leak == "drop":
        notice = (
            f"Dropped {len(earlier)} samples whose copy or group is in a later split, too: "
            f"{some(earlier['sample'], 20)}."
        )
        others = catalog.select(~catalog.table["sample"].isin(earlier["sample"]))
        return replace(others, notices=(*catalog.notices, notice))
    pairs = [
        " = ".join(f"{row['split']}: {row['sample']}" for _, row in unit.iterrows())
        for _, unit in leaks.groupby("unit", sort=False)
    ]
    raise DataError(
        f"{leaks['unit'].nunique()} images or groups are in two splits at once, so the test would be of "
        f"what was trained on: {some(pairs)}. Delete them from one split, or drop them from the earlier with "
        "data.on_leak=drop."
    )


def find_leaks(table: pd.DataFrame) -> pd.DataFrame:
    """The rows, with a `unit` number, whose copies or group are in another split, too."""
    units = pd.Series(inseparable(table), index=table.index)
    num_splits = table["split"].groupby(units).transform("nunique")
    leaking = np.asarray(num_splits > 1)
    return table[leaking].assign(unit=units[leaking]).sort_values(["unit", "sample"])
