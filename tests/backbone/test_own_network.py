"""A network of the user's own: features, stages, weights, and the sentence for each wrong one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.model.saved import tiny_model
from transferlab.backbone.own_network import own_backbone
from transferlab.backbone.timm_network import timm_backbone
from transferlab.backbone.weights_file import WeightsError
from transferlab.config.compose import ConfigError, compose_checked
from transferlab.model.model import Model
from transferlab.run.errors import UserError
from transferlab.training.run_record import weights_hash

NETS = """\
import torch
from torch import nn


def build(width=8, pooled=True, norm=None):
    layers = [nn.Conv2d(3, width, 3, 2), nn.ReLU(), nn.Conv2d(width, 2 * width, 3, 2), nn.ReLU()]
    return nn.Sequential(*layers, *([nn.AdaptiveAvgPool2d(1), nn.Flatten()] if pooled else []))


class Grouped(nn.Module):
    def __init__(self, matcher=r"^(first|second)"):
        super().__init__()
        self.second, self.first, self.matcher = nn.Linear(5, 4), nn.Linear(3 * 8 * 8, 5), matcher

    def forward(self, images):
        return self.second(self.first(images.flatten(1)))

    def group_matcher(self, coarse=False):
        return {"first": r"^first", "second": r"^second"} if self.matcher else self.nothing


def tied():
    one = nn.Linear(12, 12)
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), one, nn.ReLU(), one)


def nothing():
    return "a text"


def empty():
    return nn.Flatten()


def pair():
    class Pair(nn.Linear):
        def forward(self, images):
            return images, images
    return Pair(1, 1)


def broken():
    return nn.Linear("wide", 3)
"""


@pytest.fixture(autouse=True)
def _nets(monkeypatch):
    Path("nets.py").write_text(NETS)
    monkeypatch.syspath_prepend(Path.cwd())
    yield
    sys.modules.pop("nets", None)


def own(target: str = "build", image_size: int | None = 32, arguments=None, **further):
    node = {"_target_": f"nets.{target}", **(arguments or {})}
    return own_backbone(network=node, image_size=image_size, **further)


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    left, right = one.state_dict(), other.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_features_stages_and_preprocessing():
    backbone = own(mean=[0.1, 0.2, 0.3], crop_pct=0.9)
    assert backbone(torch.zeros(2, 3, 32, 32)).shape == (2, 16) == (2, backbone.num_features)
    assert [stage.name for stage in backbone.stages] == ["0", "2"]
    assert backbone.preprocessing == {
        "image_size": 32,
        "mean": (0.1, 0.2, 0.3),
        "std": (0.5, 0.5, 0.5),
        "interpolation": "bicubic",
        "crop_pct": 0.9,
        "crop_mode": "center",
    }


def test_group_matcher_orders_the_stages():
    assert [stage.name for stage in own("Grouped", 8).stages] == ["first", "second"]


def test_random_means_the_seed():
    torch.manual_seed(3)
    one = own()
    torch.manual_seed(3)
    assert same(one, own())


def test_weights_from_a_file_without_json():
    save_file(own().network.state_dict(), "mine.safetensors")
    assert same(own(weights="mine.safetensors"), own(weights="mine.safetensors"))
    assert not same(own(weights="mine.safetensors"), own(weights="mine.safetensors", load_weights=False))
    before = weights_hash({"weights": "mine.safetensors", "network": {}})
    save_file(own().network.state_dict(), "mine.safetensors")
    assert weights_hash({"weights": "mine.safetensors", "network": {}}) != before


@pytest.mark.parametrize("target", ["build", "tied"])
def test_saved_and_loaded(tmp_path, target):
    trained = own(target, mean=[0.1, 0.2, 0.3])
    tiny_model(backbone=trained).save(tmp_path)
    again = Model.load(tmp_path, allow=["nets"]).network.backbone
    assert same(again.network, trained.network)
    assert again.preprocessing == trained.preprocessing
    later = own(target, image_size=None, weights=str(tmp_path))
    assert same(later.network, trained.network)
    assert later.preprocessing == trained.preprocessing
    with pytest.raises(UserError, match=rf"network._target_=nets.{target}: .*allow=\[nets\]"):
        Model.load(tmp_path)
    with pytest.raises(WeightsError, match=rf"a network of the user's own, nets.{target}. Fix: "):
        timm_backbone(name=None, weights=str(tmp_path))


def test_a_model_whose_code_changed(tmp_path):
    tiny_model(backbone=own()).save(tmp_path)
    about = (tmp_path / "model.json").read_text()
    (tmp_path / "model.json").write_text(
        about.replace('"_target_": "nets.build"', '"_target_": "nets.Grouped"')
    )
    with pytest.raises(UserError, match=r"or bring back the code of nets\.Grouped as it was"):
        Model.load(tmp_path, allow=["nets"])


def test_its_code_is_known_by_a_hash():
    before = own().code
    assert before == own().code
    Path("nets.py").write_text(NETS + "\n# another line\n")
    assert own().code != before
    assert timm_backbone(name="test_resnet", weights="random").code is None


@pytest.mark.parametrize(
    ("target", "size", "arguments", "text"),
    [
        ("nothing", 32, {}, "backbone.network: nets.nothing gives str. Fix: return an nn.Module"),
        ("empty", 32, {}, "nets.empty gives a module without parameters. Fix: "),
        (
            "build",
            32,
            {"pooled": False},
            r"one vector of features per image, but \[1, 16, 7, 7\] for .*Fix: .*Flatten",
        ),
        ("pair", 32, {}, "does not give one vector of features per image, but tuple"),
        (
            "build",
            2,
            {},
            r"network=nets.build cannot take images of 2 px \(RuntimeError: .* Fix: set backbone.image",
        ),
        ("Grouped", 9, {}, r"cannot take images of 9 px \(RuntimeError: .* \(nets.py, line 16\)\). Fix: "),
        ("build", None, {}, "backbone.image_size has no value. Fix: "),
        ("broken", 32, {}, r"backbone.network: nets.broken: TypeError: .* \(nets.py, line \d+\). Fix: "),
        ("Grouped", 8, {"matcher": ""}, r"stages of nets.Grouped: AttributeError: .*nothing"),
        ("absent", 32, {}, "backbone.network: nets.absent: .*Fix: "),
    ],
)
def test_wrong_networks(target, size, arguments, text):
    with pytest.raises(UserError, match=text) as caught:
        own(target, size, arguments)
    assert "\n" not in str(caught.value)


def test_wrong_preprocessing():
    with pytest.raises(WeightsError, match=r"backbone.mean=\[0.5\]: must be three numbers"):
        own(mean=[0.5])


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (["backbone.network._target_=nets.build"], r"may not name this class. .*allow=\[nets\]"),
        (
            ["backbone.network={_target_: nets.build, widthh: 3}", "allow=[nets]"],
            "Did you mean backbone.network.width?",
        ),
        (["backbone.network={_target_: absent.build}", "allow=[absent]"], "there is no such class"),
        (["backbone.network=nets.build", "allow=[nets]"], "backbone.network=nets.build: must be a mapping"),
        (
            ["backbone.network={width: 3}"],
            r"no class or function is named. Fix: 'backbone.network=\{_target_",
        ),
        ([], "backbone.network has no value. Set it: "),
        (
            ["backbone.network={_target_: nets.build}", "allow=[nets]", "backbone.weights=hub"],
            "backbone.weights=hub: has none of your own network. Fix: backbone.weights=random",
        ),
    ],
)
def test_wrong_configs(overrides, text):
    with pytest.raises(ConfigError, match=text):
        compose_checked(["backbone=own", *overrides])


def test_a_right_config():
    chosen = ["backbone=own", "backbone.network={_target_: nets.build, width: 4}", "allow=[nets]"]
    assert compose_checked(chosen).config.backbone.network.width == 4
