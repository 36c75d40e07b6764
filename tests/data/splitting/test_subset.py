from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transferlab.data.catalog.catalog import catalog_table
from transferlab.data.splitting.subset import nested_subset


def table_of(sizes):
    labels = [code for code, size in enumerate(sizes) for _ in range(size)]
    samples = [f"{row:03d}" for row in range(len(labels))]
    return catalog_table(samples, labels, samples, "d")


SIZES = st.lists(st.integers(1, 50), min_size=1, max_size=5)


@settings(deadline=None)
@given(sizes=SIZES, shares=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)), seed=st.integers(0, 99))
def test_fractions_are_nested_and_stratified(sizes, shares, seed):
    table = table_of(sizes)
    small, large = (
        nested_subset(table, fraction=share, shots_per_class=None, seed=seed) for share in sorted(shares)
    )
    assert (small <= large).all()
    counts = np.bincount(table["label"][small].astype(int), minlength=len(sizes))
    assert counts.tolist() == [max(1, int(np.ceil(min(shares) * size - 1e-9))) for size in sizes]


@settings(deadline=None)
@given(sizes=SIZES, shots=st.tuples(st.integers(1, 30), st.integers(1, 30)), seed=st.integers(0, 99))
def test_shots_are_nested(sizes, shots, seed):
    table = table_of(sizes)
    few, many = (nested_subset(table, fraction=None, shots_per_class=k, seed=seed) for k in sorted(shots))
    assert (few <= many).all()
    counts = np.bincount(table["label"][few].astype(int), minlength=len(sizes))
    assert counts.tolist() == [min(min(shots), size) for size in sizes]


def test_without_limits_all_stay():
    assert nested_subset(table_of([3, 4]), fraction=None, shots_per_class=None, seed=0).all()


@pytest.mark.parametrize("share", [0.1, 0.3, 0.7])
def test_ten_percent_of_a_hundred_are_ten(share):
    chosen = nested_subset(table_of([100]), fraction=share, shots_per_class=None, seed=0)
    assert chosen.sum() == round(100 * share)


def test_seeds_differ():
    one, other = (
        nested_subset(table_of([50]), fraction=None, shots_per_class=5, seed=seed) for seed in (0, 1)
    )
    assert (one != other).any()
