"""Two ways to run a network are told apart by their last bit, unless the device itself does not repeat it."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from transferlab.backbone.bit_comparison import first_difference, outcome, unchanged

IMAGES_NCHW = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


def test_outcome(network):
    found = outcome(network, lambda: network(IMAGES_NCHW))
    torch.manual_seed(0)
    features_ND = network(IMAGES_NCHW)
    assert torch.equal(found["the features"], features_ND)
    weights_D = torch.tensor([-1.0, -1 / 3, 1 / 3, 1.0])
    (features_ND * weights_D).square().sum().backward()
    torch.testing.assert_close(found["the gradient of 0.weight"], network[0].weight.grad)
    assert torch.equal(found["the statistics 1.running_mean"], network[1].running_mean)
    assert found["the random numbers"][0] == torch.rand(())
    assert len(found) == 2 + 3 + 4
    with torch.no_grad():
        assert len(outcome(network, lambda: network(IMAGES_NCHW))) == 2 + 3


def bias_changed(network: nn.Module) -> Tensor:
    return torch.func.functional_call(network, {"1.bias": network[1].bias + 1e-6}, IMAGES_NCHW)


def learned_apart(network: nn.Module) -> Tensor:
    detached = {"0.bias": network[0].bias.detach()}
    return torch.func.functional_call(network, detached, IMAGES_NCHW)


def counted_twice(network: nn.Module) -> Tensor:
    network[1](network[0](IMAGES_NCHW))
    return network(IMAGES_NCHW)


def drawn_once_more(network: nn.Module) -> Tensor:
    features_ND = network(IMAGES_NCHW)
    torch.rand(())
    return features_ND


def not_a_number(network: nn.Module) -> Tensor:
    return network(IMAGES_NCHW) * float("nan")


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (lambda network: network(IMAGES_NCHW), None),
        (bias_changed, "the features"),
        (not_a_number, "the features"),
        (learned_apart, "the gradient of 0.bias"),
        (counted_twice, "the statistics 1.running_mean"),
        (drawn_once_more, "the random numbers"),
    ],
)
def test_first_difference(network, other, expected):
    found = first_difference(network, lambda: network(IMAGES_NCHW), lambda: other(network))
    assert found == expected


class Noisy(torch.autograd.Function):
    """A gradient that is another one each time, as where threads add up in any order."""

    calls = itertools.count()

    @staticmethod
    def forward(ctx, maps: Tensor) -> Tensor:
        return maps.clone()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return gradient * (1 + 1e-6 * (next(Noisy.calls) % 3))


@pytest.mark.parametrize(("factor", "expected"), [(1.0, None), (1.001, "the gradient of 0.weight")])
def test_noise_of_the_device_is_no_difference(network, factor, expected):
    def run() -> Tensor:
        return network[1:](Noisy.apply(network[0](IMAGES_NCHW)))

    def other() -> Tensor:
        weight = network[0].weight
        scaled = weight + (weight - weight.detach()) * (factor - 1)  # the same value, another gradient
        maps = nn.functional.conv2d(IMAGES_NCHW, scaled, network[0].bias)
        return network[1:](Noisy.apply(maps))

    assert first_difference(network, run, other) == expected


def test_unchanged(network):
    network[1].eval()
    network[0].weight.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    drawn = torch.get_rng_state()

    def interrupted() -> None:
        with unchanged(network):
            network.train().requires_grad_(True)
            network(IMAGES_NCHW)
            assert network[1].num_batches_tracked == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [module.training for module in network] == [True, False, True, True, True]
    assert not network[0].weight.requires_grad
    assert network[0].bias.requires_grad
    assert torch.equal(torch.get_rng_state(), drawn)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name


class Forgetful(nn.Module):
    """Keeps something in an evaluation and forgets it when trained again, as some attention does."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.kept: list[Tensor] = []

    def train(self, mode: bool = True) -> Forgetful:
        super().train(mode)
        if mode:
            self.kept = []
        return self

    def forward(self, images_NCHW: Tensor) -> Tensor:
        if not self.training:
            self.kept.append(self.weight)
        return images_NCHW.mean((2, 3)) * self.weight


@pytest.mark.parametrize("mode", [True, False])
def test_nothing_is_kept(mode):
    network = Forgetful().train(mode)
    with unchanged(network):
        network.eval()(IMAGES_NCHW)
    assert network.kept == []
    assert network.training == mode
