"""Which stages learn, and in which mode their modules are."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from transferlab.backbone.freezing import freeze_all_but_last, set_modes
from transferlab.backbone.network import Backbone
from transferlab.backbone.timm_network import timm_backbone


@pytest.fixture
def backbone() -> Backbone:
    kwargs = {"channels": [8, 8, 16, 16], "stem_width": 8, "drop_path_rate": 0.5}
    return timm_backbone(name="resnet10t", weights="random", image_size=32, kwargs=kwargs)


def stage_of(backbone: Backbone, module_name: str) -> int | None:
    for position, stage in enumerate(backbone.stages):
        if any(name.startswith(f"{module_name}.") for name in stage.parameters):
            return position
    return None


@pytest.mark.parametrize("trainable", [0, 1, 2, 4])
def test_requires_grad_is_that_of_the_last_stages(backbone, trainable):
    freeze_all_but_last(backbone, 4)
    freeze_all_but_last(backbone, trainable)
    learning = {name for name, parameter in backbone.network.named_parameters() if parameter.requires_grad}
    first = len(backbone.stages) - trainable
    assert learning == {name for stage in backbone.stages[first:] for name in stage.parameters}


@pytest.mark.parametrize("trainable", [0, 1, 3, 4])
@pytest.mark.parametrize("freeze_bn", [False, True])
def test_modes(backbone, trainable, freeze_bn):
    set_modes(backbone, trainable, freeze_bn=freeze_bn)
    first = len(backbone.stages) - trainable
    norms = [
        (name, module) for name, module in backbone.network.named_modules() if isinstance(module, _BatchNorm)
    ]
    assert len(norms) > 8
    for name, norm in norms:
        assert norm.training == (stage_of(backbone, name) >= first and not freeze_bn), name


@pytest.mark.parametrize(("trainable", "freeze_bn"), [(0, False), (2, False), (4, True)])
def test_frozen_norms_keep_their_statistics(backbone, trainable, freeze_bn):
    freeze_all_but_last(backbone, trainable)
    set_modes(backbone, trainable, freeze_bn=freeze_bn)
    before = {name: buffer.clone() for name, buffer in backbone.network.named_buffers()}
    backbone(torch.randn(8, 3, 32, 32) * 3 + 1)
    first = len(backbone.stages) if freeze_bn else len(backbone.stages) - trainable
    for name, buffer in backbone.network.named_buffers():
        kept = torch.equal(before[name], buffer)
        assert kept == (stage_of(backbone, name.rpartition(".")[0]) < first), name


def test_frozen_stages_drop_nothing_out(backbone):
    """Stochastic depth of a frozen block, a module without parameters, is off too."""
    drops = {
        name: module
        for name, module in backbone.network.named_modules()
        if type(module).__name__ == "DropPath"
    }
    assert set(drops) >= {"layer2.0.drop_path", "layer4.0.drop_path"}
    set_modes(backbone, 1, freeze_bn=False)
    assert {name: module.training for name, module in drops.items() if "layer" in name} == {
        name: name.startswith("layer4") for name in drops
    }


def test_features_of_a_frozen_backbone_never_change(backbone):
    set_modes(backbone, 0, freeze_bn=False)
    images = torch.randn(4, 3, 32, 32)
    assert torch.equal(backbone(images), backbone(images))


def test_an_opened_stage_trains_again(backbone):
    set_modes(backbone, 0, freeze_bn=False)
    set_modes(backbone, len(backbone.stages), freeze_bn=False)
    assert all(module.training for module in backbone.modules())


def test_vision_transformer_is_frozen_with_its_embeddings():
    backbone = timm_backbone(name="test_vit", weights="random")
    freeze_all_but_last(backbone, 1)
    network = backbone.network
    assert not network.pos_embed.requires_grad
    assert not network.cls_token.requires_grad
    assert network.blocks[-1].mlp.fc1.weight.requires_grad
    assert network.norm.weight.requires_grad
    assert isinstance(network.norm, nn.LayerNorm)


def test_dropouts_of_frozen_stages_are_off():
    """Also those that stand beside the stages: behind the patch embedding, before the head."""
    kwargs = {"pos_drop_rate": 0.5, "patch_drop_rate": 0.5, "drop_rate": 0.5, "proj_drop_rate": 0.5}
    backbone = timm_backbone(name="test_vit", weights="random", image_size=64, kwargs=kwargs)
    network = backbone.network
    for trainable in range(len(backbone.stages) + 1):
        set_modes(backbone, trainable, freeze_bn=False)
        whole = trainable == len(backbone.stages)
        assert (network.pos_drop.training, network.patch_drop.training) == (whole, whole)
        assert network.head_drop.training == (trainable > 0)
        open_blocks = [block.mlp.drop1.training for block in network.blocks]
        num_blocks = len(network.blocks)
        assert sum(open_blocks) == min(trainable, num_blocks)
        assert open_blocks == sorted(open_blocks)
    set_modes(backbone, 1, freeze_bn=False)
    images = torch.rand(2, 3, 64, 64)
    embedded = [network.patch_drop(network._pos_embed(network.patch_embed(images))) for _ in range(2)]
    assert torch.equal(*embedded)  # the frozen prefix gives the same each time


def test_norms_frozen_with_scale_and_shift(backbone):
    norms = [module for module in backbone.network.modules() if isinstance(module, _BatchNorm)]
    freeze_all_but_last(backbone, len(backbone.stages), freeze_scale_and_shift=True)
    frozen = {id(parameter) for norm in norms for parameter in norm.parameters()}
    for parameter in backbone.network.parameters():
        assert parameter.requires_grad == (id(parameter) not in frozen)
    freeze_all_but_last(backbone, len(backbone.stages))
    assert all(norm.weight.requires_grad for norm in norms)
