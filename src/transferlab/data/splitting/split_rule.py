"""Splits for every sample of a catalog, without leaks between them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from transferlab.data.catalog.catalog import Catalog
from transferlab.data.catalog.names import SPLIT_NAMES
from transferlab.data.data_error import DataError, some
from transferlab.data.splitting.stratification import inseparable, stratified_splits

if TYPE_CHECKING:
    from transferlab.data.data_settings import DataSettings


def with_splits(catalog: Catalog, settings: DataSettings) -> Catalog:
    """The catalog with `split` filled in everywhere; what was decided is added to its notes."""
    given = catalog.table["split"]
    if given.isna().all():
        table = catalog.table.assign(split=_divided(catalog, settings))
        return replace(catalog, table=table)
    if given.isna().any():
        raise DataError(
            f"{int(given.isna().sum())} of {len(given)} samples have no split, e.g. "
            f"{some(catalog.table['sample'][given.isna()], 3)}. Give each train, val or test, or give none."
        )
    if settings.fold is not None:
        raise DataError(
            f"data.fold={settings.fold} divides a data set anew, but this one comes with fixed splits "
            f"({some(given.unique())}). Put its images into one folder, or leave data.fold=null."
        )
    catalog = _without_leaks(catalog, settings)
    return _carved(catalog, settings)


def _divided(catalog: Catalog, settings: DataSettings) -> pd.Series:
    if settings.fold is None:
        fractions = {
            "train": 1 - settings.val_fraction - settings.test_fraction,
            "val": settings.val_fraction,
            "test": settings.test_fraction,
        }
        return stratified_splits(catalog.table, fractions, catalog.classes, settings.split_seed)
    even = {f"fold {fold}": 1 / settings.num_folds for fold in range(settings.num_folds)}
    folds = stratified_splits(catalog.table, even, catalog.classes, settings.split_seed)
    splits = folds.where(folds != f"fold {settings.fold}", "test")
    rest = catalog.table[splits != "test"]
    fractions = {"train": 1 - settings.val_fraction, "val": settings.val_fraction}
    splits[rest.index] = stratified_splits(rest, fractions, catalog.classes, settings.split_seed)
    return splits


def _carved(catalog: Catalog, settings: DataSettings) -> Catalog:
    """Splits that the source lacks, taken from its training split."""
    given = catalog.table["split"]
    if not (given == "train").any():
        raise DataError(f"The data has {some(given.unique())} but no train split.")
    shares = {"val": settings.val_fraction, "test": settings.test_fraction}
    missing = {name: share for name, share in shares.items() if not (given == name).any()}
    if not missing:
        return catalog
    train = catalog.table[given == "train"]
    fractions = {"train": 1 - sum(missing.values()), **missing}
    splits = given.copy()
    splits[train.index] = stratified_splits(train, fractions, catalog.classes, settings.split_seed)
    shared = " and ".join(f"{share:.0%} as {name}" for name, share in missing.items())
    note = (
        f"The data has no {' and no '.join(missing)} split: {shared} held out of train (split_seed "
        f"{settings.split_seed})."
    )
    return replace(catalog, table=catalog.table.assign(split=splits), notes=(*catalog.notes, note))


def _without_leaks(catalog: Catalog, settings: DataSettings) -> Catalog:
    leaks = find_leaks(catalog.table)
    if leaks.empty:
        return catalog
    rank = leaks["split"].map({name: number for number, name in enumerate(SPLIT_NAMES)})
    last = rank.groupby(leaks["unit"]).transform("max")
    earlier = leaks[rank < last]
    if settings.on_leak == "drop":
        note = (
            f"Dropped {len(earlier)} samples whose copy or group is in a later split, too: "
            f"{some(earlier['sample'], 20)}."
        )
        others = catalog.select(~catalog.table["sample"].isin(earlier["sample"]))
        return replace(others, notes=(*catalog.notes, note))
    raise DataError(
        f"{leaks['unit'].nunique()} images or groups are in two splits at once, so the test would be of "
        f"what was trained on: {some(leaking_pairs(leaks))}. Delete them from one split, or "
        "drop them from the earlier with data.on_leak=drop."
    )


def find_leaks(table: pd.DataFrame) -> pd.DataFrame:
    """The rows, with a `unit` number, whose copies or group are in another split, too."""
    units = pd.Series(inseparable(table), index=table.index)
    num_splits = table["split"].groupby(units).transform("nunique")
    leaking = np.asarray(num_splits > 1)
    return table[leaking].assign(unit=units[leaking]).sort_values(["unit", "sample"])


def leaking_pairs(leaks: pd.DataFrame) -> list[str]:
    """`train: a.png = test: b.png` for each unit of leaking rows."""
    units = [unit for _, unit in leaks.groupby("unit")]
    return [" = ".join(f"{row.split}: {row.sample}" for row in unit.itertuples()) for unit in units]
