"""Where a backbone's weights come from: a hub, a file, an earlier run, or nowhere.

A weights file is `NAME.safetensors` with `NAME.json` beside it, which says what it belongs to:
`architecture` (timm's name), `model_kwargs`, `mean`, `std`, `input_size`, `interpolation`, `crop_pct`.
A run folder holds the same pair as `model.safetensors` and `model.json`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from transferlab.run.errors import UserError

SHIPPED = Path(__file__).with_name("letters_resnet.safetensors")


class WeightsError(UserError):
    """The weights that the config names can not be used."""


@dataclass(frozen=True)
class WeightsFile:
    """A weights file and what the JSON beside it says."""

    path: Path
    architecture: str
    kwargs: dict[str, Any]
    preprocessing: dict[str, Any]

    @property
    def image_size(self) -> int | None:
        """Side of the images in pixels that the weights were trained with, where the JSON says it."""
        size = self.preprocessing.get("input_size")
        return int(size[-1]) if size else None

    def load(self) -> dict[str, torch.Tensor]:
        """The backbone's tensors by parameter name, fp32, without a classifier's prefix of an earlier run."""
        try:
            tensors = load_file(self.path)
        except (SafetensorError, OSError) as error:
            raise WeightsError(
                f"backbone.weights={self.path}: this is not a readable safetensors file ({error}). "
                "Copy or download it again."
            ) from error
        if any(name.startswith("backbone.") for name in tensors):
            own = {name: tensor for name, tensor in tensors.items() if name.startswith("backbone.")}
            tensors = {name.removeprefix("backbone."): tensor for name, tensor in own.items()}
        return {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}


def find_weights(weights: str) -> WeightsFile | None:
    """The file that `backbone.weights` names; None for `hub` and `random`.

    Raises:
        WeightsError: no such file, no JSON beside it, or a JSON that does not say what it should.
    """
    if weights in ("hub", "random"):
        return None
    path = SHIPPED if weights == "shipped" else Path(weights).expanduser()
    if path.is_dir():
        path = path / "model.safetensors"
        if not path.is_file():
            raise WeightsError(
                f"backbone.weights={weights}: this folder holds no model.safetensors. "
                "Is it a run folder whose training has finished?"
            )
    if not path.is_file():
        raise WeightsError(f"backbone.weights={weights}: there is no such file.")
    if path.suffix != ".safetensors":
        raise WeightsError(
            f"backbone.weights={weights}: only .safetensors files are read (a pickle could run any code)."
        )
    beside = path.with_suffix(".json")
    if not beside.is_file():
        raise WeightsError(
            f"backbone.weights={weights}: {beside.name} is missing beside it. It must name the architecture, "
            'e.g. {"architecture": "resnet18", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}.'
        )
    try:
        about = json.loads(beside.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WeightsError(f"{beside}: this is not JSON ({error}).") from error
    return _described(path, beside, about)


def _described(path: Path, beside: Path, about: Any) -> WeightsFile:
    if not isinstance(about, dict) or not isinstance(about.get("architecture"), str):
        raise WeightsError(f"{beside}: it must name the `architecture`, as timm does, e.g. resnet18.")
    kwargs = about.get("model_kwargs") or {}
    found = {key: about[key] for key in _PREPROCESSING if about.get(key) is not None}
    wrong = [key for key, value in found.items() if not _PREPROCESSING[key](value)]
    if wrong or not isinstance(kwargs, dict):
        key = wrong[0] if wrong else "model_kwargs"
        raise WeightsError(f"{beside}: `{key}` can not be {about[key]!r}.")
    return WeightsFile(path, about["architecture"], kwargs, found)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and value > 0


def _is_triple(value: object) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(isinstance(x, int | float) for x in value)


# what the JSON may say of the images, and what that can be
_PREPROCESSING: dict[str, Callable[[object], bool]] = {
    "input_size": _is_triple,
    "mean": _is_triple,
    "std": _is_triple,
    "interpolation": lambda value: isinstance(value, str),
    "crop_pct": _is_number,
}


def load_into(network: torch.nn.Module, file: WeightsFile) -> None:
    """Copy a file's tensors into a network without classifier; a classifier in the file is left out.

    Raises:
        WeightsError: the tensors do not fit the network.
    """
    tensors, own = file.load(), network.state_dict()
    if any(name in tensors and tensors[name].shape != own[name].shape for name in own):
        tensors = _fitted(network, tensors)
    missing = [name for name in own if name not in tensors and not name.endswith("num_batches_tracked")]
    shapes = [name for name in own if name in tensors and tensors[name].shape != own[name].shape]
    if missing or shapes:
        wrong = (missing or shapes)[0]
        rule = (
            "is missing"
            if missing
            else f"has shape {list(tensors[wrong].shape)}, not {list(own[wrong].shape)}"
        )
        raise WeightsError(
            f"backbone.weights={file.path}: these are weights of another architecture than "
            f"{file.architecture} with {file.kwargs or 'default arguments'}: {wrong} {rule} "
            f"({len(missing)} tensors missing, {len(shapes)} of another shape)."
        )
    network.load_state_dict({name: tensors[name] for name in own if name in tensors}, strict=False)


def _fitted(network: torch.nn.Module, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors with position embeddings for the network's image size, interpolated as timm does it."""
    try:
        return sys.modules[type(network).__module__].checkpoint_filter_fn(tensors, network)
    except (
        Exception
    ):  # the family has no such function, or the tensors are of another family: the caller reports
        return tensors
