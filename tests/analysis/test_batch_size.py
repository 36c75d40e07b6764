"""Which batch size is suggested, and what ends the search."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from tests.training.test_resume import TINY
from transferlab.analysis import batch_size
from transferlab.analysis.batch_size import Size, search, worthwhile, write_search
from transferlab.config.compose import compose_checked
from transferlab.run.errors import UserError

SETTINGS = [*TINY, "backbone.name=test_resnet", "strategy=fine_tune", "trainer=cpu"]


@pytest.mark.parametrize(
    ("speeds", "suggested"),
    [([10, 20, 30, 31], 32), ([10, 20, 30, 32], 64), ([10, 9, 8], 8), ([10, 9.6, 10.4], 8), ([5], 8)],
)
def test_the_smallest_that_is_as_fast_as_any(speeds, suggested):
    sizes = [Size(8 * 2**place, speed, None) for place, speed in enumerate(speeds)]
    assert worthwhile(sizes) == suggested


@pytest.fixture
def speeds(monkeypatch):
    """Images a second by batch size, in place of measurements; an exception is raised."""
    given = {}

    def measured(config, experiment, size, steps):
        if isinstance(given[size], Exception):
            raise given[size]
        return Size(size, given[size], None)

    monkeypatch.setattr(batch_size, "_measured", measured)
    return given


def config():
    return compose_checked([*SETTINGS, "data.shots_per_class=20"]).config


def test_it_ends_where_a_size_is_hardly_faster(speeds):
    speeds.update({4: 10.0, 8: 20.0, 16: 30.0, 32: 31.0})
    found = search(config(), first=4, steps=3)
    assert (found.suggestion, found.ended_by) == (16, "a batch of 32 is hardly faster")


def test_it_ends_where_memory_does(speeds):
    speeds.update({4: 10.0, 8: 20.0, 16: torch.cuda.OutOfMemoryError("CUDA out of memory.")})
    found = search(config(), first=4, steps=3)
    assert (found.suggestion, found.ended_by) == (8, "a batch of 16 does not fit into memory")
    speeds.update({4: RuntimeError("DefaultCPUAllocator: can't allocate memory")})
    with pytest.raises(UserError, match="Not even a batch of 4 fits into memory"):
        search(config(), first=4, steps=3)
    speeds.update({4: RuntimeError("something else")})
    with pytest.raises(RuntimeError, match="something else"):
        search(config(), first=4, steps=3)


def test_it_ends_where_there_are_no_more_images(speeds):
    speeds.update({64: 10.0, 128: 20.0})
    assert search(config(), first=64, steps=3).ended_by == "there are 200 training images"


def test_it_measures_steps_of_each_size(tmp_path):
    found = search(compose_checked([*SETTINGS, "data.shots_per_class=2"]).config, first=5, steps=2)
    table = pd.read_csv(write_search(found, tmp_path / "out"))
    assert table["batch_size"].tolist() == [size.batch_size for size in found.sizes]
    assert table["batch_size"].tolist()[:2] == [5, 10]
    assert (table["images_per_s"] > 0).all()
    assert table["peak_gib"].isna().all()
    assert not (tmp_path / "runs").exists()
