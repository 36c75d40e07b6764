"""The source's own running statistics: what they start from, and how they take turns with the network's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from transferlab.strategy.objective.source_statistics import SourceStatistics, norms_with_statistics


@pytest.fixture
def norms() -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm1d(2), nn.LayerNorm(2), nn.BatchNorm1d(2, track_running_stats=False))


def test_norms_without_statistics_are_left_alone(norms):
    assert norms_with_statistics(norms) == [norms[0]]
    assert set(SourceStatistics(norms).state_dict()) == {
        "running_mean_0",
        "running_var_0",
        "num_batches_tracked_0",
    }


def test_they_start_as_the_networks_and_change_alone(norms):
    norms[0].running_mean.copy_(torch.tensor([3.0, 4.0]))
    source = SourceStatistics(norms)
    assert source.running_mean_0.tolist() == [3, 4]
    with source.in_use(norms):
        norms(torch.tensor([[13.0, 14.0], [13.0, 14.0]]))
        assert norms[0].running_mean.tolist() == pytest.approx([4, 5])  # 0.9 x 3 + 0.1 x 13
    assert norms[0].running_mean.tolist() == [3, 4]
    assert norms[0].num_batches_tracked == 0
    assert source.running_mean_0.tolist() == pytest.approx([4, 5])
    assert source.num_batches_tracked_0 == 1


def test_they_are_put_back_after_an_error(norms):
    source = SourceStatistics(norms)
    own = norms[0].running_mean
    with pytest.raises(RuntimeError, match="stop"), source.in_use(norms):
        raise RuntimeError("stop")
    assert norms[0].running_mean is own
