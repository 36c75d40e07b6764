"""Networks with random weights, and one whose modules are called as a test says."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from transferlab.backbone.boundary import Boundary, activations
from transferlab.backbone.boundary_search import find_boundary
from transferlab.backbone.network import Backbone
from transferlab.backbone.stages import ordered_stages
from transferlab.backbone.timm_network import timm_backbone


def random_backbone(name: str, image_size: int | None = None, **arguments) -> Backbone:
    torch.manual_seed(0)
    return timm_backbone(name=name, weights="random", image_size=image_size, **arguments)


def images_for(backbone: Backbone, count: int = 4, seed: int = 1) -> Tensor:
    side = backbone.preprocessing["image_size"]
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def boundary_of(
    backbone: Backbone, frozen_stages: int, count: int = 4, seed: int = 1
) -> tuple[Boundary, Tensor]:
    """A boundary and activations there, of the images of the same seed."""
    boundary = find_boundary(backbone, frozen_stages)
    backbone.eval()
    return boundary, activations(backbone, boundary, images_for(backbone, count, seed))


class Chain(nn.Module):
    """Three stages of one convolution each; a function tells how they are called."""

    def __init__(self, code: Callable[[Chain, Tensor], Tensor], *, dropout: float = 0.0) -> None:
        super().__init__()
        self.first, self.second, self.third = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))
        self.act = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(dropout)
        self.pair = Pair()
        self.code = code

    def forward(self, images_NCHW: Tensor) -> Tensor:
        return self.code(self, images_NCHW).mean((2, 3))


class Pair(nn.Module):
    """Gives two tensors."""

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        return maps, maps + 1


def chain(code: Callable[[Chain, Tensor], Tensor], **arguments) -> Backbone:
    backbone = random_backbone("mnist_convnet", 28)
    backbone.network = Chain(code, **arguments)
    backbone.stages = ordered_stages(backbone.network)
    assert [stage.name for stage in backbone.stages] == ["first", "second", "third"]
    return backbone
