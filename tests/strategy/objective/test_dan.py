"""The multi-kernel MMD against sums by hand and against the closed form for Gaussians."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from transferlab.strategy.objective.dan import (
    DAN,
    mean_squared_distance,
    multi_kernel,
    squared_distances,
    unbiased_mmd,
)


def mmd(source: torch.Tensor, target: torch.Tensor, bandwidths: list[float]) -> float:
    distances = squared_distances(torch.cat([source, target]))
    return unbiased_mmd(multi_kernel(distances, bandwidths), len(source)).item()


def expected_kernel(shift: float, variance: float, bandwidth: float, dimensions: int) -> float:
    """E exp(-|z|^2 / 2b) for z normal around a point `shift` from 0, of `variance` in each dimension."""
    total = bandwidth + variance
    return (bandwidth / total) ** (dimensions / 2) * math.exp(-(shift**2) / (2 * total))


def test_sums_by_hand():
    generator = np.random.default_rng(0)
    source, target, bandwidths = generator.normal(size=(3, 2)), generator.normal(size=(5, 2)) + 1, [0.5, 2.0]

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.mean([np.exp(-np.sum((x - y) ** 2) / (2 * b)) for b in bandwidths]))

    within_source = np.mean([k(x, y) for i, x in enumerate(source) for j, y in enumerate(source) if i != j])
    within_target = np.mean([k(x, y) for i, x in enumerate(target) for j, y in enumerate(target) if i != j])
    across = np.mean([k(x, y) for x in source for y in target])
    found = mmd(torch.tensor(source), torch.tensor(target), bandwidths)
    assert found == pytest.approx(within_source + within_target - 2 * across, rel=1e-10)


@pytest.mark.parametrize("bandwidths", [[1.0], [0.25, 1.0, 4.0]])
def test_two_gaussians(bandwidths):
    """N(0, I) and N(m, 2.25 I) with |m| = 1, in three dimensions."""
    generator = np.random.default_rng(1)
    source = torch.tensor(generator.normal(size=(2000, 3)))
    target = torch.tensor(1.5 * generator.normal(size=(1500, 3)) + np.array([1.0, 0.0, 0.0]))
    expected = np.mean(
        [
            expected_kernel(0, 2.0, b, 3) + expected_kernel(0, 4.5, b, 3) - 2 * expected_kernel(1, 3.25, b, 3)
            for b in bandwidths
        ]
    )
    assert expected > 0.05
    assert mmd(source, target, bandwidths) == pytest.approx(expected, abs=0.005)


def test_unbiased():
    """Zero on average for one distribution, even from four points; a biased estimate would be 0.3."""
    generator = torch.Generator().manual_seed(0)
    values = [
        mmd(torch.randn(4, 2, generator=generator), torch.randn(4, 2, generator=generator), [1.0])
        for _ in range(400)
    ]
    assert abs(np.mean(values)) < 3 * np.std(values) / 20
    assert min(values) < 0


def test_distances_far_from_the_origin():
    """In fp32, 1e4^2 alone would round differences of 0.01 away."""
    points = torch.tensor([[1e4, 0.0], [1e4, 0.125]])
    assert squared_distances(points)[0, 1].item() == pytest.approx(0.125**2)


def test_bandwidth_follows_the_scale(network, batch):
    points = torch.tensor([[0.0], [1.0], [3.0]])
    distances = squared_distances(points)
    torch.testing.assert_close(distances, torch.tensor([[0.0, 1, 9], [1, 0, 4], [9, 4, 0]]))
    assert mean_squared_distance(distances) == pytest.approx((1 + 9 + 4) / 3)
    assert not mean_squared_distance(squared_distances(points.requires_grad_())).requires_grad


def test_features_of_any_scale_give_the_same(network, batch):
    """The same network with features a thousand times as large has the same MMD."""
    network.eval()
    found = DAN().losses(network, batch, 0.5).observed["mmd"]
    network.backbone.register_forward_hook(lambda module, inputs, output: 1000 * output)
    torch.testing.assert_close(DAN().losses(network, batch, 0.5).observed["mmd"], found, rtol=1e-3, atol=1e-5)
    assert found > 0.05


def test_equal_features_give_a_finite_loss(network, batch):
    """A dead network: all distances, and with them the bandwidth, are 0."""
    network.backbone.register_forward_hook(lambda module, inputs, output: 0 * output)
    losses = DAN().losses(network, batch, 0.5)
    assert losses.terms["mmd_loss"].item() == 0
    losses.terms["mmd_loss"].backward()
    assert all(torch.isfinite(p.grad).all() for p in network.backbone.parameters())


def test_loss_is_lambda_times_the_mmd_of_the_features(network, batch):
    network.eval()
    objective = DAN(weight=2.0, bandwidth_factors=[0.5, 1.0])
    losses = objective.losses(network, batch, 0.3)
    features = network.features(torch.cat([batch["input"], batch["target_input"]]))
    scale = mean_squared_distance(squared_distances(features)).item()
    expected = mmd(features[:6], features[6:], [0.5 * scale, scale])
    assert losses.observed["mmd"].item() == pytest.approx(expected, rel=1e-4)
    assert losses.terms["mmd_loss"].item() == pytest.approx(2 * math.tanh(1.5) * expected, rel=1e-4)
