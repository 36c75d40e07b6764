"""The small network of MNIST → MNIST-M, used as any network of timm's is."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from transferlab.backbone.boundary_search import differs, find_boundary
from transferlab.backbone.freezing import freeze_all_but_last
from transferlab.backbone.network import Backbone
from transferlab.backbone.timm_network import timm_backbone
from transferlab.backbone.weights_file import WeightsError


def convnet(**arguments) -> Backbone:
    return timm_backbone(name="mnist_convnet", **{"weights": "random", **arguments})


def test_shapes_and_sizes():
    """Figure 4 (a): 28 px, 5x5 to 24, pooled to 12, 5x5 to 8, pooled to 4: 48 * 4 * 4 features."""
    backbone = convnet()
    assert backbone.num_features == 768
    assert backbone.network.forward_features(torch.zeros(2, 3, 28, 28)).shape == (2, 48, 4, 4)
    sizes = {name: parameter.numel() for name, parameter in backbone.network.named_parameters()}
    assert sizes == {
        "stages.0.conv.weight": 32 * 3 * 25,
        "stages.0.conv.bias": 32,
        "stages.1.conv.weight": 48 * 32 * 25,
        "stages.1.conv.bias": 48,
    }
    assert sum(sizes.values()) == 40_880
    assert convnet(image_size=32).num_features == 48 * 5 * 5


def test_features_are_those_of_the_formula():
    torch.manual_seed(0)
    backbone = convnet()
    images = torch.randn(3, 3, 28, 28)
    maps = images
    for stage in (0, 1):
        weight = backbone.network.get_parameter(f"stages.{stage}.conv.weight")
        bias = backbone.network.get_parameter(f"stages.{stage}.conv.bias")
        maps = functional.max_pool2d(functional.conv2d(maps, weight, bias).relu(), 2)
    torch.testing.assert_close(backbone(images), maps.flatten(1))


def test_stages():
    names = [stage.name for stage in convnet().stages]
    assert names == ["stages.0", "stages.1"]
    backbone = convnet(kwargs={"batch_norm": True, "channels": [8, 16, 16]}, image_size=64)
    assert [stage.name for stage in backbone.stages] == ["stages.0", "stages.1", "stages.2"]
    assert "stages.1.norm.weight" in backbone.stages[1].parameters


def test_preprocessing():
    assert convnet().preprocessing == {
        "image_size": 28,
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
        "interpolation": "bilinear",
        "crop_pct": 1.0,
        "crop_mode": "center",
    }


def test_what_is_frozen_stays():
    backbone = convnet()
    freeze_all_but_last(backbone, 1)
    backbone(torch.randn(2, 3, 28, 28)).square().sum().backward()
    first, second = (stage.conv.weight.grad for stage in backbone.network.stages)
    assert first is None
    assert second.abs().sum() > 0


def test_it_can_be_cut_between_its_stages():
    torch.manual_seed(0)
    backbone = convnet()
    boundary = find_boundary(backbone, 1)
    assert boundary.shape == (32, 12, 12)
    assert differs(backbone, boundary, torch.randn(2, 3, 28, 28)) is None


def test_it_learns():
    """Two kinds of stripes, 40 steps: the loss falls to a tenth."""
    torch.manual_seed(0)
    backbone, head = convnet(), torch.nn.Linear(768, 2)
    labels = torch.arange(32) % 2
    stripes = torch.ones(28, 28)
    stripes[::2] = -1
    images = torch.stack([stripes if label else stripes.T for label in labels])[:, None].expand(-1, 3, -1, -1)
    images = images + torch.randn(32, 3, 28, 28)
    optimizer = torch.optim.SGD([*backbone.parameters(), *head.parameters()], lr=0.01, momentum=0.9)
    losses = []
    for _ in range(40):
        loss = functional.cross_entropy(head(backbone(images)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 10


def test_weights_of_an_earlier_run(tmp_path):
    earlier = convnet(kwargs={"channels": [4, 6]})
    save_file(earlier.network.state_dict(), tmp_path / "mine.safetensors")
    about = {"architecture": "mnist_convnet", "model_kwargs": {"channels": [4, 6]}, "input_size": [3, 28, 28]}
    (tmp_path / "mine.json").write_text(json.dumps(about))
    later = timm_backbone(name=None, weights=str(tmp_path / "mine.safetensors"))
    images = torch.randn(2, 3, 28, 28)
    assert torch.equal(later(images), earlier(images))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"image_size": 12}, "mnist_convnet cannot take images of 12 px"),
        ({"weights": "hub"}, "nobody has published weights of mnist_convnet"),
        ({"kwargs": {"depth": 8}}, "timm's mnist_convnet does not take this .*depth"),
        ({"gradient_checkpointing": True}, "mnist_convnet does not offer it"),
    ],
)
def test_refusals(arguments, says):
    with pytest.raises(WeightsError, match=says):
        convnet(**arguments)
