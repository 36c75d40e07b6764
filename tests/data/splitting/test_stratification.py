from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transferlab.data.catalog.catalog import catalog_table
from transferlab.data.data_error import DataError
from transferlab.data.splitting.stratification import (
    inseparable,
    nested_subset,
    stratified_splits,
    wanted_counts,
)

THIRDS = {"train": 0.6, "val": 0.2, "test": 0.2}


def table_of(labels, groups=None, contents=None):
    samples = [f"{row:03d}" for row in range(len(labels))]
    return catalog_table(samples, labels, contents or samples, "d", groups=groups)


def names(labels):
    return tuple(str(code) for code in range(max(labels) + 1))


@settings(deadline=None, max_examples=60)
@given(
    sizes=st.lists(st.integers(3, 40), min_size=1, max_size=6),
    val=st.floats(0.05, 0.45),
    test=st.floats(0.05, 0.45),
    seed=st.integers(0, 1000),
)
def test_parts_are_disjoint_stratified_and_hold_every_class(sizes, val, test, seed):
    labels = [code for code, size in enumerate(sizes) for _ in range(size)]
    fractions = {"train": 1 - val - test, "val": val, "test": test}
    parts = stratified_splits(table_of(labels), fractions, names(labels), seed)
    counts = pd.crosstab(pd.Series(labels), parts).reindex(columns=list(fractions)).to_numpy()
    assert counts.sum() == len(labels)
    for row, size in zip(counts, sizes, strict=True):
        assert (row >= 1).all()
        for got, share in zip(row[1:], (val, test), strict=True):
            assert abs(got - size * share) <= 1 or row[0] == 1


@settings(deadline=None, max_examples=60)
@given(data=st.data(), seed=st.integers(0, 1000))
def test_groups_and_copies_stay_together(data, seed):
    num_groups = data.draw(st.integers(9, 40))
    group_labels = [group % 3 for group in range(num_groups)]
    sizes = data.draw(st.lists(st.integers(1, 6), min_size=num_groups, max_size=num_groups))
    groups = [f"p{group}" for group, size in enumerate(sizes) for _ in range(size)]
    labels = [group_labels[group] for group, size in enumerate(sizes) for _ in range(size)]
    parts = stratified_splits(table_of(labels, groups), THIRDS, names(labels), seed)
    assert (parts.groupby(groups).nunique() == 1).all()
    assert (pd.crosstab(pd.Series(labels), parts) > 0).all().all()


def test_inseparable_chains_groups_and_copies():
    table = table_of([0] * 6, groups=["p", "p", None, "q", None, None], contents=list("abbcde"))
    assert inseparable(table).tolist() == [0, 0, 0, 1, 2, 3]


def test_group_sizes_are_balanced_over_parts():
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 20, 150)
    labels = np.repeat(np.arange(150) % 3, sizes).tolist()
    groups = np.repeat([f"p{g}" for g in range(150)], sizes).tolist()
    parts = stratified_splits(table_of(labels, groups), THIRDS, names(labels), 0)
    shares = pd.crosstab(pd.Series(labels), parts, normalize="index")
    np.testing.assert_allclose(shares[["train", "val", "test"]], [[0.6, 0.2, 0.2]] * 3, atol=0.01)


def test_split_is_a_function_of_names_and_seed():
    labels = [0] * 30 + [1] * 30
    table = table_of(labels)
    parts = stratified_splits(table, THIRDS, names(labels), 0)
    shuffled = table.sample(frac=1, random_state=1)
    again = stratified_splits(shuffled.reset_index(drop=True), THIRDS, names(labels), 0)
    assert dict(zip(shuffled["sample"], again, strict=True)) == dict(zip(table["sample"], parts, strict=True))
    other = stratified_splits(table, THIRDS, names(labels), 1)
    assert not parts.equals(other)


def test_rare_classes_are_refused_by_name():
    with pytest.raises(DataError, match=r"Too few images of 1 \(images: 2, apart: 2\)\. .*at least 3"):
        stratified_splits(table_of([0] * 10 + [1] * 2), THIRDS, ("0", "1"), 0)
    groups = [None] * 10 + ["p"] * 4
    with pytest.raises(DataError, match=r"1 \(images: 4, apart: 1\)"):
        stratified_splits(table_of([0] * 10 + [1] * 4, groups), THIRDS, ("0", "1"), 0)


@pytest.mark.parametrize(
    ("num", "fractions", "counts"),
    [
        (100, [0.6, 0.2, 0.2], [60, 20, 20]),
        (3, [0.9, 0.05, 0.05], [1, 1, 1]),
        (4, [0.1, 0.45, 0.45], [1, 2, 1]),
        (0, [0.6, 0.2, 0.2], [0, 0, 0]),
        (7, [1 / 3, 1 / 3, 1 / 3], [3, 2, 2]),
    ],
)
def test_wanted_counts(num, fractions, counts):
    assert wanted_counts(num, fractions).tolist() == counts


def table_of_sizes(sizes):
    labels = [code for code, size in enumerate(sizes) for _ in range(size)]
    return table_of(labels)


SIZES = st.lists(st.integers(1, 50), min_size=1, max_size=5)


@settings(deadline=None)
@given(sizes=SIZES, shares=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)), seed=st.integers(0, 99))
def test_fractions_are_nested_and_stratified(sizes, shares, seed):
    table = table_of_sizes(sizes)
    small, large = (
        nested_subset(table, fraction=share, shots_per_class=None, seed=seed) for share in sorted(shares)
    )
    assert (small <= large).all()
    counts = np.bincount(table["label"][small].astype(int), minlength=len(sizes))
    assert counts.tolist() == [max(1, int(np.ceil(min(shares) * size - 1e-9))) for size in sizes]


@settings(deadline=None)
@given(sizes=SIZES, shots=st.tuples(st.integers(1, 30), st.integers(1, 30)), seed=st.integers(0, 99))
def test_shots_are_nested(sizes, shots, seed):
    table = table_of_sizes(sizes)
    few, many = (nested_subset(table, fraction=None, shots_per_class=k, seed=seed) for k in sorted(shots))
    assert (few <= many).all()
    counts = np.bincount(table["label"][few].astype(int), minlength=len(sizes))
    assert counts.tolist() == [min(min(shots), size) for size in sizes]


def test_without_limits_all_stay():
    assert nested_subset(table_of_sizes([3, 4]), fraction=None, shots_per_class=None, seed=0).all()


@pytest.mark.parametrize("share", [0.1, 0.3, 0.7])
def test_ten_percent_of_a_hundred_are_ten(share):
    chosen = nested_subset(table_of_sizes([100]), fraction=share, shots_per_class=None, seed=0)
    assert chosen.sum() == round(100 * share)


def test_seeds_differ():
    one, other = (
        nested_subset(table_of_sizes([50]), fraction=None, shots_per_class=5, seed=seed) for seed in (0, 1)
    )
    assert (one != other).any()
