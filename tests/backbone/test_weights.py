"""Weights from a file: which are read, and what each unreadable one says."""

from __future__ import annotations

import json
import pickle
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from timm.models._hub import save_for_hf

from tests.model.saved import tiny_model
from transferlab.backbone.network import Backbone
from transferlab.backbone.timm_network import require_weights, timm_backbone
from transferlab.backbone.weights import find_weights
from transferlab.backbone.weights_file import WeightsError

TINY = {"channels": [8, 8, 16, 16], "stem_width": 8}
ABOUT = {
    "architecture": "resnet10t",
    "model_kwargs": TINY,
    "input_size": [3, 40, 40],
    "mean": [0.1, 0.2, 0.3],
    "std": [0.4, 0.5, 0.6],
    "interpolation": "bilinear",
    "crop_pct": 0.9,
}


def tiny(seed: int) -> Backbone:
    torch.manual_seed(seed)
    return timm_backbone(name="resnet10t", weights="random", image_size=32, kwargs=TINY)


@pytest.fixture
def file(tmp_path) -> Path:
    """A weights file as a user would bring it: with the classifier, its JSON beside it."""
    tensors = tiny(1).network.state_dict() | {"fc.weight": torch.ones(5, 16), "fc.bias": torch.ones(5)}
    save_file(tensors, tmp_path / "mine.safetensors")
    (tmp_path / "mine.json").write_text(json.dumps(ABOUT))
    return tmp_path / "mine.safetensors"


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    left, right = one.state_dict(), other.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_file_says_all(file):
    backbone = timm_backbone(name=None, weights=str(file))
    assert backbone.name == "resnet10t"
    assert same(backbone.network, tiny(1).network)
    assert backbone.preprocessing == {
        "image_size": 40,
        "mean": (0.1, 0.2, 0.3),
        "std": (0.4, 0.5, 0.6),
        "interpolation": "bilinear",
        "crop_pct": 0.9,
        "crop_mode": "center",
    }
    assert timm_backbone(name="resnet10t", weights=str(file), image_size=64).preprocessing["image_size"] == 64


def test_json_needs_the_architecture_alone(file):
    file.with_suffix(".json").write_text(json.dumps({"architecture": "resnet10t", "model_kwargs": TINY}))
    assert (
        timm_backbone(name=None, weights=str(file)).preprocessing["image_size"] == 176
    )  # timm's own for this network


def test_not_loading_keeps_everything_but_the_weights(file):
    torch.manual_seed(2)
    backbone = timm_backbone(name=None, weights=str(file), load_weights=False)
    assert backbone.preprocessing == timm_backbone(name=None, weights=str(file)).preprocessing
    assert same(backbone.network, tiny(2).network)


def test_half_precision_is_read_as_single(file):
    save_file({name: t.half() if t.is_floating_point() else t for name, t in load_file(file).items()}, file)
    weight = timm_backbone(name=None, weights=str(file)).network.conv1[0].weight
    assert weight.dtype == torch.float32
    torch.testing.assert_close(weight, tiny(1).network.conv1[0].weight, atol=1e-3, rtol=1e-3)


def test_earlier_run(tmp_path):
    """A run folder holds head and backbone; the backbone is taken."""
    trained = tiny(4)
    tiny_model(backbone=trained).save(tmp_path)
    backbone = timm_backbone(name=None, weights=str(tmp_path))
    assert same(backbone.network, trained.network)
    assert backbone.preprocessing == trained.preprocessing
    assert backbone.kwargs == TINY


@pytest.mark.parametrize(("trained_at", "used_at"), [(96, None), (96, 64), (64, 96)])
@pytest.mark.parametrize("name", ["test_vit", "swin_tiny_patch4_window7_224"])
def test_earlier_run_of_a_network_of_fixed_size(tmp_path, name, trained_at, used_at):
    """Trained at 96 px, it is a network of 96 px; at another size, position embeddings are interpolated."""
    kwargs = {} if name == "test_vit" else {"embed_dim": 24, "depths": [1, 1], "num_heads": [2, 2]}
    trained = timm_backbone(name=name, weights="random", image_size=trained_at, kwargs=kwargs)
    tiny_model(backbone=trained).save(tmp_path)
    backbone = timm_backbone(name=None, weights=str(tmp_path), image_size=used_at)
    size = used_at or trained_at
    assert backbone.preprocessing["image_size"] == size
    assert backbone(torch.zeros(1, 3, size, size)).shape == (1, backbone.num_features)
    if used_at is None:
        assert same(backbone.network, trained.network)
    fresh = timm_backbone(name=None, weights=str(tmp_path), image_size=used_at, load_weights=False)
    assert [p.shape for p in fresh.parameters()] == [p.shape for p in backbone.parameters()]


def test_shipped(monkeypatch, file):
    monkeypatch.setattr("transferlab.backbone.weights.SHIPPED", file)
    assert same(timm_backbone(name=None, weights="shipped").network, tiny(1).network)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("resnet18", "weights of another architecture: resnet10t, but backbone.name=resnet18"),
        ("resnet10t.c3_in1k", None),  # another tag of the same architecture
    ],
)
def test_name_and_file_must_agree(file, name, text):
    if text is None:
        assert timm_backbone(name=name, weights=str(file)).name == name
    else:
        with pytest.raises(WeightsError, match=text):
            timm_backbone(name=name, weights=str(file))


def test_tensors_of_another_architecture(file):
    file.with_suffix(".json").write_text(json.dumps({"architecture": "resnet10t"}))
    with pytest.raises(
        WeightsError, match=r"another architecture than resnet10t .* has shape .* not"
    ) as caught:
        timm_backbone(name=None, weights=str(file))
    assert "(0 tensors missing, " in str(caught.value)
    file.with_suffix(".json").write_text(json.dumps({"architecture": "test_vit"}))
    with pytest.raises(WeightsError, match=r"another architecture than test_vit .*cls_token is missing"):
        timm_backbone(name=None, weights=str(file))


def test_truncated(file):
    whole = file.read_bytes()
    for length in (len(whole) // 2, 100, 4, 0):
        file.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match=f"{file}: this is not readable safetensors"):
            timm_backbone(name=None, weights=str(file))


def test_corrupt(file):
    file.write_bytes(b"\xff" * 5000)
    with pytest.raises(WeightsError, match="not readable safetensors"):
        timm_backbone(name=None, weights=str(file))


@pytest.mark.parametrize("prefix", ["module.", "model.", "backbone.", "module.backbone.", "_orig_mod."])
def test_names_with_a_prefix(file, prefix):
    tensors = {f"{prefix}{name}": tensor for name, tensor in load_file(file).items()}
    save_file(tensors | {"step": torch.ones(1)}, file)
    backbone = timm_backbone(name=None, weights=str(file))
    assert same(backbone.network, tiny(1).network)
    assert backbone.notes == (f"{file}: names of tensors taken without their prefix `{prefix}`.",)


def test_several_networks_in_a_file_are_refused(file):
    both = {f"{who}.{name}": t for who in ("teacher", "student") for name, t in load_file(file).items()}
    save_file({name: tensor.clone() for name, tensor in both.items()}, file)
    with pytest.raises(WeightsError, match=r"conv1\.0\.weight is missing"):
        timm_backbone(name=None, weights=str(file))


def test_a_folder_as_the_hub_has_it(tmp_path):
    """What timm writes for the hub: the network with its arguments, and how its images are prepared."""
    network = timm.create_model("resnet10t", num_classes=7, **TINY)
    network.pretrained_cfg |= {"crop_mode": "squash", "crop_pct": 1.0, "input_size": (3, 64, 64)}
    save_for_hf(network, tmp_path, safe_serialization=True, model_args=TINY)
    for weights in (tmp_path, tmp_path / "model.safetensors"):
        backbone = timm_backbone(name=None, weights=str(weights))
        assert (backbone.name, backbone.kwargs["channels"]) == ("resnet10t", TINY["channels"])
        assert backbone.preprocessing["image_size"] == 64
        assert backbone.preprocessing["crop_mode"] == "squash"
        assert torch.equal(backbone.network.conv1[0].weight, network.conv1[0].weight)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"no model\.safetensors. Fix: python -c .*weights_only=True"):
        find_weights(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["BertModel"]}))
    with pytest.raises(WeightsError, match=r"config\.json: names no `architecture` of timm"):
        find_weights(str(tmp_path))


def test_the_conversion_that_is_named_works(tmp_path, file):
    network = tiny(1).network
    torch.save(
        {"state_dict": {f"module.{k}": v for k, v in network.state_dict().items()}}, tmp_path / "x.pth"
    )
    with pytest.raises(WeightsError) as caught:
        find_weights(str(tmp_path / "x.pth"))
    command = re.search(r"Fix: (python -c .*), which loads", str(caught.value))
    assert command is not None
    _, *arguments = shlex.split(command[1])
    subprocess.run([sys.executable, *arguments], check=True)
    (tmp_path / "x.json").write_text(json.dumps(ABOUT))
    backbone = timm_backbone(name=None, weights=str(tmp_path / "x.safetensors"))
    assert same(backbone.network, network)


def test_a_model_from_before_crop_modes_is_one_of_center(tmp_path):
    trained = timm_backbone(
        name="test_convnext.r160_in1k", weights="random", image_size=32, crop_mode="squash"
    )
    tiny_model(backbone=trained).save(tmp_path)
    assert timm_backbone(name=None, weights=str(tmp_path)).preprocessing["crop_mode"] == "squash"
    about = json.loads((tmp_path / "model.json").read_text())
    assert about.pop("crop_mode") == "squash"
    (tmp_path / "model.json").write_text(json.dumps(about))
    assert timm_backbone(name=None, weights=str(tmp_path)).preprocessing["crop_mode"] == "center"


def test_weights_are_asked_for_before_anything_is_made(monkeypatch):
    monkeypatch.setattr("transferlab.backbone.timm_network.why_unreachable", lambda name: "no way there")
    with pytest.raises(WeightsError, match=r"the weights of resnet18 could not be loaded \(no way there\)"):
        require_weights("resnet18", "hub")
    with pytest.raises(WeightsError, match=r"resnet9000: .*has no such network"):
        require_weights("resnet9000", "hub")
    require_weights("resnet18", "random")


@pytest.mark.parametrize("name", ["model.pth", "model.bin", "model.ckpt", "model.pkl"])
def test_pickles_are_refused_unread(tmp_path, name):
    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "exploded",)

    (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(WeightsError, match=r"only \.safetensors files are read"):
        timm_backbone(name="resnet10t", weights=str(tmp_path / name))
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "mine.json is missing beside it. It must name the architecture"),
        ("{", "mine.json: this is not readable JSON"),
        ("\xff", "mine.json: this is not UTF-8 text"),
        ("[]", "it must name the `architecture`"),
        ('{"mean": [0, 0, 0]}', "it must name the `architecture`"),
        ('{"architecture": 5}', "it must name the `architecture`"),
        ('{"architecture": "resnet19"}', "backbone.name=resnet19: .*Did you mean"),
        ('{"architecture": "resnet10t", "mean": 0.5}', "`mean` cannot be 0.5"),
        ('{"architecture": "resnet10t", "std": [1, 1]}', r"`std` cannot be \[1, 1\]"),
        ('{"architecture": "resnet10t", "input_size": 224}', "`input_size` cannot be 224"),
        ('{"architecture": "resnet10t", "crop_pct": "x"}', "`crop_pct` cannot be 'x'"),
        ('{"architecture": "resnet10t", "model_kwargs": "x"}', "`model_kwargs` cannot be 'x'"),
        (
            '{"architecture": "resnet10t", "model_kwargs": {"checkpoint_path": "x.pth"}}',
            r"kwargs\.checkpoint_path says nothing of the architecture",
        ),
    ],
)
def test_json_beside_it(file, content, text):
    beside = file.with_suffix(".json")
    beside.unlink()
    if content is not None:
        beside.write_bytes(content.encode("latin-1"))
    with pytest.raises(WeightsError, match=text):
        timm_backbone(name=None, weights=str(file))


def test_no_such_place(tmp_path):
    with pytest.raises(WeightsError, match="there is no such file"):
        find_weights("nowhere.safetensors")
    with pytest.raises(WeightsError, match=r"this folder holds no model\.safetensors"):
        find_weights(str(tmp_path))
    assert find_weights("hub") is None
    assert find_weights("random") is None


@pytest.mark.data
@pytest.mark.parametrize("dataset", ["qat_in1k", "qat_inat_bird", "qat_inat_insect", "tf2ptq_in1k"])
def test_real_weights(shared_data, dataset):
    """A pretrained MobileNet-v2: every tensor arrives, and it sees that flowers of a kind are alike."""
    file = shared_data / "weights" / f"mobilenetv2_100.coral_{dataset}.safetensors"
    backbone = timm_backbone(name=None, weights=str(file)).eval()
    assert backbone.name == "mobilenetv2_100"
    assert backbone.preprocessing["mean"] == (0.5, 0.5, 0.5)
    assert backbone.preprocessing["image_size"] == 224
    stored = load_file(file)
    assert set(stored) - set(backbone.network.state_dict()) == {"classifier.weight", "classifier.bias"}
    for name, tensor in backbone.network.state_dict().items():
        assert torch.equal(tensor, stored[name].to(tensor.dtype)), name
    assert backbone(torch.rand(1, 3, 224, 224) * 2 - 1).std() > 0.1
