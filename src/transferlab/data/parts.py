"""Gives every sample of a catalog its part, and refuses leaks between parts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from transferlab.data.catalog.catalog import PARTS, Catalog
from transferlab.data.errors import DataError, some
from transferlab.data.split import inseparable, stratified_parts


@dataclass(frozen=True)
class SplitRule:
    """How samples are divided where their source does not say.

    Args:
        val_fraction: share of validation, in (0, 1); of what the test fold leaves where `fold` is set.
        test_fraction: share of testing, in (0, 1).
        seed: another seed, another split.
        fold: which of `num_folds` parts to test on; None = one split by the fractions.
        num_folds: number of parts for `fold`.
        on_leak: what to do about copies and groups across parts that the source fixes: `error`, or `drop`
            them from the earlier of train, val, test.
    """

    val_fraction: float = 0.2
    test_fraction: float = 0.2
    seed: int = 0
    fold: int | None = None
    num_folds: int = 5
    on_leak: Literal["error", "drop"] = "error"

    def __post_init__(self) -> None:
        for name, share in (("val_fraction", self.val_fraction), ("test_fraction", self.test_fraction)):
            if not 0 < share < 1:
                raise DataError(f"data.{name}={share} must lie between 0 and 1.")
        if self.val_fraction + self.test_fraction >= 1:
            raise DataError(
                f"data.val_fraction={self.val_fraction} and data.test_fraction={self.test_fraction} leave "
                "nothing to "
                "train on. Together they must stay below 1."
            )
        if self.num_folds < 2:
            raise DataError(f"data.num_folds={self.num_folds} must be at least 2.")
        if self.fold is not None and not 0 <= self.fold < self.num_folds:
            raise DataError(
                f"data.fold={self.fold} must be one of 0 to {self.num_folds - 1} "
                f"(data.num_folds={self.num_folds})."
            )


def with_parts(catalog: Catalog, rule: SplitRule) -> Catalog:
    """The catalog with `split` filled in everywhere; what was decided is added to its notices."""
    given = catalog.table["split"]
    if given.isna().all():
        table = catalog.table.assign(split=_divided(catalog, rule))
        return replace(catalog, table=table)
    if given.isna().any():
        raise DataError(
            f"{int(given.isna().sum())} of {len(given)} samples have no part, e.g. "
            f"{some(catalog.table['sample'][given.isna()], 3)}. Give each train, val or test, or give none."
        )
    if rule.fold is not None:
        raise DataError(
            f"data.fold={rule.fold} divides a data set anew, but this one comes with fixed parts "
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
        return stratified_parts(catalog.table, fractions, catalog.classes, rule.seed)
    even = {f"fold {fold}": 1 / rule.num_folds for fold in range(rule.num_folds)}
    folds = stratified_parts(catalog.table, even, catalog.classes, rule.seed)
    parts = folds.where(folds != f"fold {rule.fold}", "test")
    rest = catalog.table[parts != "test"]
    fractions = {"train": 1 - rule.val_fraction, "val": rule.val_fraction}
    parts[rest.index] = stratified_parts(rest, fractions, catalog.classes, rule.seed)
    return parts


def _carved(catalog: Catalog, rule: SplitRule) -> Catalog:
    """Parts that the source lacks, taken from its training part."""
    given = catalog.table["split"]
    if not (given == "train").any():
        raise DataError(f"The data has {some(given.unique())} but no train part.")
    shares = {"val": rule.val_fraction, "test": rule.test_fraction}
    missing = {part: shares[part] for part in ("val", "test") if not (given == part).any()}
    if not missing:
        return catalog
    train = catalog.table[given == "train"]
    fractions = {"train": 1 - sum(missing.values()), **missing}
    parts = given.copy()
    parts[train.index] = stratified_parts(train, fractions, catalog.classes, rule.seed)
    shared = " and ".join(f"{share:.0%} as {part}" for part, share in missing.items())
    notice = (
        f"The data has no {' and no '.join(missing)} part: {shared} held out of train (split_seed "
        f"{rule.seed})."
    )
    return replace(catalog, table=catalog.table.assign(split=parts), notices=(*catalog.notices, notice))


def _without_leaks(catalog: Catalog, rule: SplitRule) -> Catalog:
    leaks = find_leaks(catalog.table)
    if leaks.empty:
        return catalog
    rank = leaks["split"].map({part: number for number, part in enumerate(PARTS)})
    last = rank.groupby(leaks["unit"]).transform("max")
    earlier = leaks[rank < last]
    if rule.on_leak == "drop":
        notice = (
            f"Dropped {len(earlier)} samples whose copy or group is in a later part, too: "
            f"{some(earlier['sample'], 20)}."
        )
        kept = catalog.select(~catalog.table["sample"].isin(earlier["sample"]))
        return replace(kept, notices=(*catalog.notices, notice))
    pairs = [
        " = ".join(f"{row['split']}: {row['sample']}" for _, row in unit.iterrows())
        for _, unit in leaks.groupby("unit", sort=False)
    ]
    raise DataError(
        f"{leaks['unit'].nunique()} images or groups are in two parts at once, so the test would be of what "
        "was "
        f"trained on: {some(pairs)}. Delete them from one part, or drop them from the earlier with "
        "data.on_leak=drop."
    )


def find_leaks(table: pd.DataFrame) -> pd.DataFrame:
    """The rows, with a `unit` number, whose copies or group are in another part, too."""
    units = pd.Series(inseparable(table), index=table.index)
    num_parts = table["split"].groupby(units).transform("nunique")
    leaking = np.asarray(num_parts > 1)
    return table[leaking].assign(unit=units[leaking]).sort_values(["unit", "sample"])
