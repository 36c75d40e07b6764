"""Statistics of batch norms, computed anew: plain means over batches, by hand."""

from __future__ import annotations

import torch
from torch import nn

from transferlab.model.batch_statistics import norms_with_statistics, statistics_anew


def test_norms_without_statistics_are_left_out():
    norms = nn.Sequential(nn.BatchNorm1d(2), nn.LayerNorm(2), nn.BatchNorm1d(2, track_running_stats=False))
    assert norms_with_statistics(norms) == [norms[0]]


def test_each_batch_counts_equally_and_the_momentum_comes_back():
    norm = nn.BatchNorm1d(2, momentum=0.3)
    norm(torch.randn(8, 2) + 100)
    batches = [torch.randn(8, 2) + shift for shift in range(5)]
    with statistics_anew([norm]):
        for batch in batches:
            norm(batch)
    torch.testing.assert_close(norm.running_mean, torch.stack([b.mean(0) for b in batches]).mean(0))
    torch.testing.assert_close(norm.running_var, torch.stack([b.var(0) for b in batches]).mean(0))
    assert (norm.momentum, int(norm.num_batches_tracked)) == (0.3, 5)
