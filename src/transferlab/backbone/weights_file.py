"""A weights file: what it belongs to, its tensors, and how they get into a network.

`NAME.safetensors` has `NAME.json` beside it, which says what it belongs to:
`architecture` (timm's name), `model_kwargs`, `mean`, `std`, `input_size`, `interpolation`, `crop_pct`,
`crop_mode`. For a network of the user's own the JSON may be missing; in one, `network` (a config's node:
`_target_` and arguments) stands in the place of `architecture` and `model_kwargs`.
A trained model is such a pair, `model.safetensors` and `model.json`, whose JSON says more: see `Model`.
A folder of the hub's format holds `model.safetensors` and timm's `config.json` instead.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load

from transferlab.backbone.tensor_names import of_part, without_prefix
from transferlab.run.errors import UserError
from transferlab.run.reading import UnreadableFile, parsing

LARGEST_CROP_PCT = 2.0  # above 1 the crop is padded; timm's largest is 1.15


class WeightsError(UserError):
    """The weights that the config names cannot be used."""


@contextlib.contextmanager
def as_weights() -> Iterator[None]:
    """Within this a file that cannot be read is a `WeightsError`."""
    try:
        yield
    except UnreadableFile as error:
        raise WeightsError(str(error)) from error


@dataclass(frozen=True)
class WeightsFile:
    """A weights file and what the JSON beside it says."""

    path: Path  # of the tensors
    architecture: str  # timm's name, or the dotted path of what makes a network of the user's own
    kwargs: dict[str, Any]  # its further arguments
    preprocessing: dict[str, Any]  # what the JSON says of the images, as far as it does
    about: dict[str, Any]  # all that the JSON says
    json: Path  # the JSON
    # its content to its tensors; of a package's file, by the names that timm has for them
    parse: Callable[[bytes], dict[str, torch.Tensor]] = load

    @property
    def is_own(self) -> bool:
        """True if it holds weights of a network of the user's own."""
        return "architecture" not in self.about

    @property
    def image_size(self) -> int | tuple[int, int] | None:
        """Side of the images in pixels, or height and width, that the weights were trained with, if said."""
        size = self.preprocessing.get("input_size")
        return image_size_of(size) if size else None

    @cached_property
    def tensors(self) -> dict[str, torch.Tensor]:
        """All tensors by name, numbers with a fraction in fp32.

        Raises:
            WeightsError: no safetensors file, or not the one that the JSON was written with.
        """
        with as_weights(), parsing(self.path, "safetensors"):
            content = self.path.read_bytes()
            tensors = self.parse(content)
        if self.about.get("sha256") not in (None, hashlib.sha256(content).hexdigest()):
            raise WeightsError(
                f"{self.path}: {self.json.name} beside it belongs to another file (its sha256 is not this "
                "one's). Fix: copy both again, from one place."
            )
        return {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}

    def of_backbone(self) -> dict[str, torch.Tensor]:
        """The backbone's tensors by parameter name; of a file that others have written, all of them."""
        is_ours = "transferlab" in self.about or "format" in self.about
        return (of_part("backbone", self.tensors) if is_ours else {}) or self.tensors


def image_size_of(input_size: Sequence[int]) -> int | tuple[int, int]:
    """The side in pixels of timm's `input_size` (channels, height, width), or height and width."""
    _, height, width = input_size
    return int(height) if height == width else (int(height), int(width))


def described_weights(path: Path, about: Any, beside: Path | None = None) -> WeightsFile:
    """A file and what the JSON beside it says, checked.

    Raises:
        WeightsError: the JSON names no network, or says what cannot be.
    """
    beside = beside or path.with_suffix(".json")
    node: Any = about.get("network") if isinstance(about, dict) else None
    if is_node(node):
        architecture, kwargs = node["_target_"], {key: node[key] for key in node if key != "_target_"}
    elif isinstance(about, dict) and isinstance(about.get("architecture"), str):
        architecture, kwargs = about["architecture"], about.get("model_kwargs") or {}
    else:
        raise WeightsError(
            f"{beside}: no network. Fix: it must name the `architecture`, as timm does: resnet18."
        )
    found = {key: about[key] for key in _PREPROCESSING if about.get(key) is not None}
    wrong = [key for key, value in found.items() if not _PREPROCESSING[key](value)]
    if wrong or not isinstance(kwargs, dict):
        key = wrong[0] if wrong else "model_kwargs"
        raise WeightsError(f"{beside}: `{key}` cannot be {about[key]!r}. Fix: correct it, or copy it again.")
    if "format" in about:
        found.setdefault("crop_mode", "center")  # a model saved before other modes were known
    return WeightsFile(path, architecture, kwargs, found, about, beside)


def is_node(value: object) -> bool:
    """True if a value from a JSON is a config's node; interpolations could read the environment."""
    is_class = isinstance(value, dict) and isinstance(value.get("_target_"), str)
    return is_class and "${" not in json.dumps(value)


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and 0 < value <= LARGEST_CROP_PCT


def _is_triple(value: object) -> bool:
    is_triple = isinstance(value, list) and len(value) == 3
    return is_triple and all(type(x) in (int, float) and math.isfinite(x) for x in value)  # type: ignore


def _is_size(value: object) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(type(x) is int and x > 0 for x in value)


# what the JSON may say of the images, and what that can be
_PREPROCESSING: dict[str, Callable[[object], bool]] = {
    "input_size": _is_size,
    "mean": _is_triple,
    "std": lambda value: _is_triple(value) and min(value) > 0,  # type: ignore[call-overload]
    "interpolation": lambda value: value in ("nearest", "bilinear", "bicubic"),
    "crop_pct": _is_share,
    "crop_mode": lambda value: value in ("center", "squash", "border"),
}


def load_into(network: torch.nn.Module, file: WeightsFile) -> tuple[str, ...]:
    """Copy a file's tensors into a network without classifier; a classifier in the file is left out.

    Returns notes for the user: of a prefix that all names had, such as DistributedDataParallel's `module.`.

    Raises:
        WeightsError: the tensors do not fit the network.
    """
    own = network.state_dict()
    needed = {name for name in own if not name.endswith("num_batches_tracked")}
    prefix, tensors = without_prefix(file.of_backbone(), needed)
    if any(name in tensors and tensors[name].shape != own[name].shape for name in own):
        tensors = _fitted(network, tensors)
    missing = [name for name in own if name not in tensors and name in needed]
    shapes = [name for name in own if name in tensors and tensors[name].shape != own[name].shape]
    if missing or shapes:
        wrong = (missing or shapes)[0]
        rule = (
            "is missing"
            if missing
            else f"has shape {list(tensors[wrong].shape)}, not {list(own[wrong].shape)}"
        )
        than = f"{file.architecture} with {file.kwargs or 'default arguments'}"
        raise WeightsError(
            f"backbone.weights={file.path}: these are weights of another architecture than "
            f"{type(network).__name__ if file.is_own else than}: {wrong} {rule} "
            f"({len(missing)} tensors missing, {len(shapes)} of another shape)."
        )
    network.load_state_dict({name: tensors[name] for name in own if name in tensors}, strict=False)
    return (f"{file.path}: names of tensors taken without their prefix `{prefix}`.",) if prefix else ()


def _fitted(network: torch.nn.Module, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors with position embeddings for the network's image size, interpolated as timm does it."""
    try:
        return sys.modules[type(network).__module__].checkpoint_filter_fn(tensors, network)
    except (
        Exception
    ):  # the family has no such function, or the tensors are of another family: the caller reports
        return tensors
