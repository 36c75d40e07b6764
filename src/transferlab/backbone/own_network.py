"""A backbone of the user's own: a network that a class or a function in the user's module makes."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from torch import nn

from transferlab.backbone.network import Backbone
from transferlab.backbone.weights import find_weights
from transferlab.backbone.weights_file import WeightsError, load_into
from transferlab.config.bounds import Above, AtMost, PositiveInt
from transferlab.config.instantiation import described, located, make
from transferlab.run.errors import UserError

_LIBRARIES = {"torch", "torchvision", "timm"}  # the feature store's keys hold their versions
_DEFAULTS: dict[str, Any] = {
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "interpolation": "bicubic",
    "crop_pct": 1.0,
    "crop_mode": "center",
}


def own_backbone(
    *,
    network: dict,
    weights: str = "random",
    image_size: PositiveInt | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[Annotated[float, Above(0)]] | None = None,
    interpolation: Literal["nearest", "bilinear", "bicubic"] | None = None,
    crop_pct: Annotated[float, Above(0), AtMost(2)] | None = None,
    crop_mode: Literal["center", "squash", "border"] | None = None,
    gradient_checkpointing: bool = False,
    load_weights: bool = True,
) -> Backbone:
    """The network of a node `{_target_: ..., arguments}`; conf/backbone/own.yaml describes the arguments.

    Raises:
        UserError: nothing is built that gives features of such images, or weights that do not fit it.
    """
    file = find_weights(weights, needs_json=False)
    size = image_size or (file.image_size if file else None)
    if size is None:
        raise WeightsError("backbone.image_size has no value. Fix: backbone.image_size=64 (pixels)")
    given = {
        "mean": mean,
        "std": std,
        "interpolation": interpolation,
        "crop_pct": crop_pct,
        "crop_mode": crop_mode,
    }
    found = _DEFAULTS | (file.preprocessing if file else {})
    found |= {key: value for key, value in given.items() if value is not None}
    preprocessing = {"image_size": size, **{key: found[key] for key in _DEFAULTS}}
    for key in ("mean", "std"):
        preprocessing[key] = tuple(found[key])
        if len(found[key]) != 3:
            raise WeightsError(f"backbone.{key}={found[key]}: must be three numbers (red, green, blue).")
    name, kwargs = network["_target_"], {key: network[key] for key in network if key != "_target_"}
    built = make(network, path="backbone.network")
    if not isinstance(built, nn.Module) or next(built.parameters(), None) is None:
        what = "a module without parameters" if isinstance(built, nn.Module) else type(built).__name__
        raise WeightsError(f"backbone.network: {name} gives {what}. Fix: return an nn.Module with weights.")
    try:
        backbone = Backbone(
            built,
            name=name,
            kwargs=kwargs,
            weights=weights,
            preprocessing=preprocessing,
            gradient_checkpointing=gradient_checkpointing,
            code=_code_hash(name, built),
        )
    except UserError:
        raise
    except Exception as error:  # in its `group_matcher`
        raise WeightsError(f"backbone.network: stages of {name}: {described(error, name)}.") from error
    if file is not None and load_weights:
        backbone.notes = load_into(built, file)
    return backbone


def _code_hash(target: str, network: nn.Module) -> str:
    """A hash of the files that define the builder and the network's modules, libraries left out."""
    names = {located(target).__module__, *(type(module).__module__ for module in network.modules())}
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(name for name in names if name.partition(".")[0] not in _LIBRARIES):
        file = getattr(sys.modules[name], "__file__", None)  # none in a notebook
        digest.update(name.encode() + (Path(file).read_bytes() if file else b""))
    return digest.hexdigest()
