"""The size that all features together may take."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from tests.feature.stored import (
    FOLDER,
    ROW_GIB,
    Network,
    fill,
    forbidden,
    keys_of,
    missing,
    space,
    true_features,
)
from transferlab.feature.layout import listed, shard_files
from transferlab.feature.store import StoreFull


def used(name: str, age: int) -> None:
    for file in shard_files(space(network=name).folder):
        os.utime(file.path, (age, age))


def entry_size(folder: Path) -> int:
    return sum(file.path.stat().st_size for file in shard_files(folder))


def test_the_least_recently_used_go_and_what_is_in_use_stays(small_shards):
    for age, name in enumerate("abc"):
        fill(range(8), network=name)
        used(name, age)
    size = entry_size(space(network="a").folder) * 3
    rows = space(network="a").rows(keys_of(range(8)), forbidden)  # used again
    fill(range(8), network="d", most_gib=1.01 * size / 2**30)
    assert {found.about["network"] for found in listed(FOLDER)} == {"a", "c", "d"}
    assert sum(found.num_bytes for found in listed(FOLDER)) <= 1.01 * size
    assert torch.equal(rows.all(), true_features(keys_of(range(8))))


def test_other_rows_of_the_same_space_can_go(small_shards):
    fill(range(40))
    size = entry_size(space().folder)
    images = range(38, 60)
    rows = fill(images, most_gib=0.8 * size / 2**30)
    assert torch.equal(rows.all(), true_features(keys_of(images)))
    assert entry_size(space().folder) <= 0.8 * size
    assert missing(keys_of(images)) == 0


def test_more_than_the_store_may_hold_is_refused_at_once():
    keys = keys_of(range(100))
    network = Network(keys)
    with pytest.raises(StoreFull) as caught:
        space(most_gib=99.9 * ROW_GIB).rows(keys, network)
    assert len(network.computed) == 4
    assert caught.value.needed_gib == 100 * ROW_GIB
    assert str(caught.value) == (
        "features.cache_gib=2.97725e-06: the features asked for take 2.98e-06 GiB. "
        "Allow as much, or do without them with features.cache=off."
    )
    assert listed(FOLDER) == []
