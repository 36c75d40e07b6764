"""Rows: in the order asked for, from one shard or many."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.feature.stored import (
    fill,
    forbidden,
    keys_of,
    space,
    true_features,
)
from transferlab.feature.layout import shard_files


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_shapes_and_types(shape, dtype, small_shards):
    values = torch.randn(11, *shape).to(dtype)
    keys = keys_of(range(11))

    def compute(positions):
        yield positions[:5], values[:5].requires_grad_()
        yield positions[:4:-1], values.flip(0)[:6]  # another order, not contiguous

    for source in (compute, forbidden):
        rows = space(dtype=str(dtype)).rows(keys, source)
        assert rows.dtype == dtype
        assert rows.shape == (11, *shape)
        assert torch.equal(rows.all(), values)
        assert torch.equal(rows.take([10, 2]), values[[10, 2]])
        assert not rows.all().requires_grad


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize(
    "images", [[7, 3, 11, 0, 5, 3, 9, 2, 10, 1, 6, 8, 4, 7, 9], list(range(2, 11)), [6, 7, 0]]
)
def test_many_shards_give_the_same_rows(small_shards, monkeypatch, images, in_memory):
    monkeypatch.setattr("transferlab.feature.rows.IN_MEMORY_BYTES", 2**30 if in_memory else 0)
    fill(range(12))
    assert [file.num_rows for file in shard_files(space().folder)] == [4, 4, 4]
    rows = space().rows(keys_of(images), forbidden)
    expected = true_features(keys_of(images))
    positions = torch.randint(0, len(images), (30,), generator=torch.Generator().manual_seed(0))
    assert torch.equal(rows.take(positions), expected[positions])
    assert torch.equal(rows.all(), expected)
    assert (rows.all() is rows.all()) == in_memory


def test_one_shard_is_mapped_and_not_copied():
    fill(range(100))
    rows = space().rows(keys_of(range(10, 90)), forbidden)
    with Path("/proc/self/maps").open() as maps:
        address = rows.all().data_ptr()
        lines = [line.split() for line in maps]
    (mapped,) = [
        line[-1]
        for line in lines
        if int(line[0].split("-")[0], 16) <= address < int(line[0].split("-")[1], 16)
    ]
    assert mapped == str(shard_files(space().folder)[0].path.resolve())


def test_writing_into_features_does_not_reach_the_disk():
    fill(range(4)).all()[:] = 0
    assert torch.equal(space().rows(keys_of(range(4)), forbidden).all(), true_features(keys_of(range(4))))
