"""Learning rates by hand: schedule x warm-up x factor of the group; optimizers by name."""

from __future__ import annotations

import math

import pytest
import timm
import torch
from timm.optim import param_groups_layer_decay
from torch import nn

from tests.strategy.tiny import tiny_classifier
from transferlab.backbone.freezing import freeze_all_but_last
from transferlab.run.errors import UserError
from transferlab.strategy.learning_rates.schedule import (
    LearningRates,
    layer_scales,
    parameter_groups,
    schedule_factor,
    warmup_factor,
)
from transferlab.strategy.objective.cross_entropy import CrossEntropy
from transferlab.strategy.objective.dann import DANN
from transferlab.strategy.parts import Facts


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [  # at 0, 1/4, 1/2, 3/4 and all of 8 epochs
        ("constant", [1.0, 1.0, 1.0, 1.0, 1.0]),
        ("cosine", [1.0, 0.5 + math.sqrt(0.125), 0.5, 0.5 - math.sqrt(0.125), 0.0]),
        ("step", [1.0, 1.0, 0.1, 0.01, 0.01]),
        ("ganin", [1.0, 3.5**-0.75, 6.0**-0.75, 8.5**-0.75, 11.0**-0.75]),
    ],
)
def test_schedules(schedule, expected):
    found = [
        schedule_factor(schedule, p, 8 * p, step_epochs=3, step_factor=0.1) for p in (0, 0.25, 0.5, 0.75, 1)
    ]
    assert found == pytest.approx(expected, abs=1e-12)


def test_step_drops_exactly_at_the_epoch():
    """Epochs are steps / steps per epoch: 30 steps of 10 are 3.0 epochs, the first of the fourth."""
    found = [
        schedule_factor("step", 0, step / 10, step_epochs=3, step_factor=0.5) for step in (29, 30, 59, 60)
    ]
    assert found == [1.0, 0.5, 0.5, 0.25]


def test_warmup_is_a_line_from_zero():
    found = [warmup_factor(epochs, 2.0) for epochs in (0, 0.5, 1, 1.5, 2, 3)]
    assert found == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    assert warmup_factor(0, 0) == 1.0


def test_factor_of_each_group():
    rates = LearningRates(backbone_factor=0.1, stage_decay=0.5, objective_factor=3.0)
    assert [rates.group_factor(stage) for stage in (-1, 0, 1, 2, 3)] == pytest.approx(
        [3.0, 1.0, 0.1, 0.05, 0.025]
    )


def test_rate_is_the_product():
    rates = LearningRates(
        base=0.2, backbone_factor=0.1, stage_decay=0.5, warmup_epochs=2.0, schedule="step", step_epochs=4
    )
    # stage 2 opened at epoch 3; now it is epoch 4.5, after one drop: 3/4 warmed up
    found = rates.rate(2, progress=0.5, epochs=4.5, opened=3.0)
    assert found == pytest.approx(0.2 * (0.1 * 0.5) * 0.1 * 0.75)
    assert rates.rate(0, progress=0.5, epochs=4.5, opened=0.0) == pytest.approx(0.2 * 0.1)
    assert rates.rate(1, progress=0.5, epochs=3.0, opened=3.0) == 0.0


def groups() -> list[dict]:
    matrix, vector = torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(2))
    return [
        {"name": "a", "stage": 1, "params": [matrix], "weight_decay": 0.3},
        {"name": "a/no_decay", "stage": 1, "params": [vector], "weight_decay": 0.0},
    ]


@pytest.mark.parametrize(
    ("name", "kind", "momentum"),
    [
        ("adamw", "AdamW", None),
        ("AdamW", "AdamW", None),
        ("adam", "Adam", None),
        ("sgd", "SGD", 0.7),
        ("momentum", "SGD", 0.7),
        ("rmsprop", "RMSprop", 0.7),
        ("adagrad", "Adagrad", None),
        ("lamb", "Lamb", None),
        ("lion", "Lion", None),
        ("nadamw", "NAdamW", None),
        ("lars", "Lars", 0.7),
        ("muon", "Muon", 0.7),
    ],
)
def test_optimizers_of_torch_and_timm(name, kind, momentum):
    optimizer = LearningRates(optimizer=name, momentum=0.7, base=0.01).make_optimizer(groups())
    assert type(optimizer).__name__ == kind
    assert isinstance(optimizer, torch.optim.Optimizer)
    decayed, spared = optimizer.param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.3, 0.0)
    assert (decayed["name"], decayed["stage"], decayed["lr"]) == ("a", 1, 0.01)
    assert decayed.get("momentum") == momentum
    for group in optimizer.param_groups:
        group["params"][0].grad = torch.ones_like(group["params"][0])
    optimizer.step()
    assert all((group["params"][0] < 1).all() for group in optimizer.param_groups)


def test_sgd_step_by_hand():
    """Weight decay reaches the matrix alone: 1 - 0.1 (1 + 0.3) against 1 - 0.1."""
    optimizer = LearningRates(optimizer="momentum", base=0.1).make_optimizer(groups())
    for group in optimizer.param_groups:
        group["params"][0].grad = torch.ones_like(group["params"][0])
    optimizer.step()
    matrix, vector = (group["params"][0] for group in optimizer.param_groups)
    torch.testing.assert_close(matrix.detach(), torch.full((2, 2), 0.87))
    torch.testing.assert_close(vector.detach(), torch.full((2,), 0.9))


def test_optimizer_kwargs_arrive():
    optimizer = LearningRates(optimizer_kwargs={"betas": (0.5, 0.6)}).make_optimizer(groups())
    assert optimizer.param_groups[0]["betas"] == (0.5, 0.6)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"optimizer": "adamv"}, r"optimizer=adamv: timm has no such optimizer. Did you mean adam"),
        ({"optimizer": "AdanWW"}, r"timm has no such optimizer. Did you mean adanw"),
        (
            {"optimizer_kwargs": {"beta": 1}},
            r"timm cannot make it with .*optimizer_kwargs=\{'beta': 1\} .*beta",
        ),
        ({"optimizer": "sgd", "momentum": 0.0}, r"optimizer=sgd: timm cannot make it with momentum=0\.0"),
    ],
)
def test_wrong_optimizers(arguments, text):
    with pytest.raises(UserError, match=text):
        LearningRates(**arguments).make_optimizer(groups())


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
    groups = parameter_groups(network, objective, LearningRates(weight_decay=0.1))
    listed = [id(parameter) for group in groups for parameter in group["params"]]
    everything = [id(parameter) for module in (network, objective) for parameter in module.parameters()]
    assert sorted(listed) == sorted(everything)
    assert len(set(listed)) == len(listed)
    assert len({group["name"] for group in groups}) == len(groups)


def test_stages_count_from_the_output():
    network = tiny_classifier()
    groups = parameter_groups(network, built_dann(16), LearningRates(weight_decay=0.1))
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
        for group in parameter_groups(network, CrossEntropy(), LearningRates(weight_decay=0.1))
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
        for group in parameter_groups(network, CrossEntropy(), LearningRates(weight_decay=0.1))
        if group["weight_decay"] == 0
        for parameter in group["params"]
    ]
    assert vit.pos_embed.ndim == 3
    assert id(vit.pos_embed) in spared
    assert id(vit.cls_token) in spared
    assert id(vit.patch_embed.proj.weight) not in spared


def test_an_objective_without_parameters_has_no_group():
    names = [
        group["name"]
        for group in parameter_groups(tiny_classifier(), CrossEntropy(), LearningRates(weight_decay=0.1))
    ]
    assert "objective" not in names


@pytest.mark.parametrize(
    "name",
    [
        "convnext_atto",
        "densenet121",
        "poolformer_s12",  # which does not group its layers
        "regnety_002",
        "resnet18",
        "test_vit",
        "tf_efficientnet_lite0",
        "vgg11",
    ],
)
def test_layer_decay_equals_timms(name):
    with torch.device("meta"):
        whole, backbone = timm.create_model(name), timm.create_model(name, num_classes=0)
    names = {id(parameter): name for name, parameter in whole.named_parameters()}
    expected = {
        names[id(parameter)]: group["lr_scale"]
        for group in param_groups_layer_decay(whole, layer_decay=0.7)
        for parameter in group["params"]
    }
    found = layer_scales(backbone, 0.7)
    assert found == {
        name: pytest.approx(expected[name], rel=1e-12) for name, _ in backbone.named_parameters()
    }
    assert min(found.values()) < 0.7**3
    assert set(layer_scales(backbone, 1.0).values()) == {1.0}


def test_layer_decay_in_the_groups():
    """The blocks of a stage have rates of their own; the head, and the rest, the full one."""
    network = tiny_classifier(name="test_vit")
    rates, objective = LearningRates(layer_decay=0.5, weight_decay=0.1), built_dann(64)
    scales = layer_scales(network.backbone.network, 0.5)
    groups = parameter_groups(network, objective, rates)
    names = {id(parameter): name for name, parameter in network.backbone.network.named_parameters()}
    for group in groups:
        found = {scales.get(names.get(id(parameter), ""), 1.0) for parameter in group["params"]}
        assert found == {group["scale"]}, group["name"]
    assert len({group["name"] for group in groups}) == len(groups)
    listed = [id(parameter) for group in groups for parameter in group["params"]]
    everything = [id(parameter) for module in (network, objective) for parameter in module.parameters()]
    assert sorted(listed) == sorted(everything)
    assert {group["name"]: group["scale"] for group in groups if "/" not in group["name"]}["head"] == 1.0
