"""The backbone by name: what it takes, what it says of its images, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from omegaconf import OmegaConf

from transferlab.backbone.network import Backbone
from transferlab.backbone.timm_network import timm_backbone
from transferlab.backbone.weights_file import WeightsError

CONF = Path(__file__).parents[2] / "conf" / "backbone"
TINY = {"channels": [8, 8, 16, 16], "stem_width": 8}


def random(name: str | None, **arguments) -> Backbone:
    return timm_backbone(name=name, weights="random", **arguments)


@pytest.mark.parametrize(
    ("name", "features"),
    [("resnet10t", 512), ("mobilenetv3_small_050", 1024), ("convnext_atto", 320), ("test_vit", 64)],
)
def test_features(name, features):
    backbone = random(name, image_size=64)
    assert backbone.num_features == features
    assert backbone(torch.zeros(2, 3, 64, 64)).shape == (2, features)


def test_has_no_classifier():
    names = [name for name, _ in random("resnet10t", image_size=32).network.named_parameters()]
    assert not [name for name in names if name.startswith("fc")]


def test_preprocessing_is_that_of_the_pretraining():
    known = timm.get_pretrained_cfg("inception_v3")
    found = random("inception_v3").preprocessing
    assert found["image_size"] == 299 == known.input_size[-1]
    assert found["mean"] == known.mean
    assert found["std"] == known.std
    assert found["interpolation"] == known.interpolation
    assert found["crop_pct"] == known.crop_pct
    assert random("resnet10t", image_size=48).preprocessing["image_size"] == 48


@pytest.mark.parametrize("size", [96, 224])
def test_image_size_reaches_networks_of_a_fixed_size(size):
    backbone = random("vit_tiny_patch16_224", image_size=size, kwargs={"depth": 1})
    assert backbone.network.pos_embed.shape[1] == (size // 16) ** 2 + 1
    assert backbone(torch.zeros(1, 3, size, size)).shape == (1, 192)


def test_impossible_image_size():
    with pytest.raises(WeightsError, match=r"inception_v3 cannot take images of 32 px .*data\.image_size"):
        random("inception_v3", image_size=32)


def test_kwargs_build_another_network():
    assert random("resnet10t", image_size=32, kwargs=TINY).num_features == 16


def test_random_means_the_seed():
    torch.manual_seed(3)
    one = random("resnet10t", image_size=32, kwargs=TINY).state_dict()
    torch.manual_seed(3)
    other = random("resnet10t", image_size=32, kwargs=TINY).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("resnet19", "backbone.name=resnet19: timm .* has no such network. Did you mean .*resnet18"),
        ("qqqqqq", r"has no such network. timm.list_models\(\) lists them all"),
        ("hf-hub:someone/something", "has no such network"),
        ("resnet18.a1_in2k", r"has no such weights. It has .*resnet18\.a1_in1k"),
        ("hardcorenas_a.none", "has no such weights"),
        (None, "backbone.name has no value"),
    ],
)
def test_unknown_names(name, text):
    with pytest.raises(WeightsError, match=text):
        random(name)


@pytest.mark.parametrize(
    ("kwargs", "text"),
    [
        (
            {"channel": [8]},
            r"backbone\.kwargs=\{'channel': \[8\]\}: timm's resnet10t does not take this .*channel",
        ),
        (
            {"channels": [8, 8]},
            r"resnet10t with backbone\.kwargs=\{'channels': \[8, 8\]\} cannot take images",
        ),
        ({"global_pool": ""}, "does not give one vector"),
        ({"features_only": True}, "does not give one vector"),
        ({"in_chans": 1}, "cannot take images of 32 px .*1 channels"),
        ({"stem_width": "wide"}, "backbone.name=resnet10t: timm could not build it|does not take this"),
        (
            {"checkpoint_path": "evil.pth"},
            r"backbone\.kwargs\.checkpoint_path says nothing of the architecture",
        ),
        ({"num_classes": 3}, r"backbone\.kwargs\.num_classes says nothing of the architecture"),
    ],
)
def test_wrong_kwargs(kwargs, text):
    with pytest.raises(WeightsError, match=text):
        random("resnet10t", image_size=32, kwargs=kwargs)


@pytest.mark.parametrize("preset", sorted(CONF.glob("*.yaml")), ids=lambda file: file.stem)
def test_presets_name_networks_of_timm(preset):
    name = OmegaConf.load(preset).get("name")
    assert name is None if preset.stem in ("own", "timm") else timm.is_model(name)


def test_hub_without_loading_asks_nobody(monkeypatch):
    """From scratch, and before a checkpoint is loaded, the hub's weights are not needed."""
    monkeypatch.setattr(
        "transferlab.backbone.timm_network.why_unreachable", lambda name: pytest.fail("asked")
    )
    backbone = timm_backbone(name="resnet10t", weights="hub", image_size=32, load_weights=False)
    assert backbone.preprocessing["crop_pct"] == timm.get_pretrained_cfg("resnet10t").crop_pct
