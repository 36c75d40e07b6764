"""Parameter groups: every parameter once, decay only where it belongs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.strategy.tiny import tiny_classifier
from transferlab.backbone.freezing import freeze_all_but_last
from transferlab.strategy.learning_rates.groups import parameter_groups
from transferlab.strategy.objective.cross_entropy import CrossEntropy
from transferlab.strategy.objective.dann import DANN
from transferlab.strategy.parts import Facts


def built_dann(num_features: int) -> DANN:
    objective = DANN(hidden_units=4)
    objective.prepare(Facts(num_features, torch.ones(3)))
    return objective


@pytest.mark.parametrize("name", ["resnet10t", "test_vit"])
@pytest.mark.parametrize("trainable", [0, 1, 99])
def test_every_parameter_once(name, trainable):
    """Frozen ones too: groups are those of the whole training."""
    network = tiny_classifier(name=name)
    objective = built_dann(network.backbone.num_features)
    freeze_all_but_last(network.backbone, trainable)
    groups = parameter_groups(network, objective, 0.1)
    listed = [id(parameter) for group in groups for parameter in group["params"]]
    everything = [id(parameter) for module in (network, objective) for parameter in module.parameters()]
    assert sorted(listed) == sorted(everything)
    assert len(set(listed)) == len(listed)
    assert len({group["name"] for group in groups}) == len(groups)


def test_stages_count_from_the_output():
    network = tiny_classifier()
    groups = parameter_groups(network, built_dann(16), 0.1)
    assert {group["name"].removesuffix("/no_decay"): group["stage"] for group in groups} == {
        "conv1": 5,
        "layer1": 4,
        "layer2": 3,
        "layer3": 2,
        "layer4": 1,
        "head": 0,
        "objective": -1,
    }
    layer4 = next(group for group in groups if group["name"] == "layer4")
    assert any(parameter is network.backbone.network.layer4[0].conv1.weight for parameter in layer4["params"])


def test_no_decay_on_norms_and_biases():
    network = tiny_classifier()
    decay = {
        id(parameter): group["weight_decay"]
        for group in parameter_groups(network, CrossEntropy(), 0.1)
        for parameter in group["params"]
    }
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            assert decay[id(module.weight)] == 0.1
        elif isinstance(module, nn.BatchNorm2d):
            assert decay[id(module.weight)] == 0.0
        if getattr(module, "bias", None) is not None:
            assert decay[id(module.bias)] == 0.0


def test_no_decay_on_what_the_network_itself_spares():
    network = tiny_classifier(name="test_vit")
    vit = network.backbone.network
    assert {"pos_embed", "cls_token"} <= vit.no_weight_decay()
    spared = [
        id(parameter)
        for group in parameter_groups(network, CrossEntropy(), 0.1)
        if group["weight_decay"] == 0
        for parameter in group["params"]
    ]
    assert vit.pos_embed.ndim == 3
    assert id(vit.pos_embed) in spared
    assert id(vit.cls_token) in spared
    assert id(vit.patch_embed.proj.weight) not in spared


def test_an_objective_without_parameters_has_no_group():
    names = [group["name"] for group in parameter_groups(tiny_classifier(), CrossEntropy(), 0.1)]
    assert "objective" not in names
