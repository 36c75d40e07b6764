"""Where a backbone's weights come from: a hub, a file, a trained model, or nowhere.

A weights file is `NAME.safetensors` with `NAME.json` beside it, which says what it belongs to:
`architecture` (timm's name), `model_kwargs`, `mean`, `std`, `input_size`, `interpolation`, `crop_pct`. For a
network of the user's own the JSON may be missing; in one, `network` (a config's node: `_target_` and
arguments) stands in the place of `architecture` and `model_kwargs`.
A trained model is such a pair, `model.safetensors` and `model.json`, whose JSON says more: see `Model`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load

from transferlab.backbone.tensor_names import of_part
from transferlab.run.errors import UserError
from transferlab.run.reading import UnreadableFile, parsing, read_json
from transferlab.run.run_folder import Run

SHIPPED = Path(__file__).with_name("letters_resnet.safetensors")
MODEL_FORMAT = 1  # of a model.json; another number where what it says is to be read in another way


class WeightsError(UserError):
    """The weights that the config names cannot be used."""


@contextlib.contextmanager
def _as_weights() -> Iterator[None]:
    """Within this a file that cannot be read is a `WeightsError`."""
    try:
        yield
    except UnreadableFile as error:
        raise WeightsError(str(error)) from error


def _read(file: Path) -> Any:
    with _as_weights():
        return read_json(file, Any)


@dataclass(frozen=True)
class WeightsFile:
    """A weights file and what the JSON beside it says."""

    path: Path  # of the tensors
    architecture: str  # timm's name, or the dotted path of what makes a network of the user's own
    kwargs: dict[str, Any]  # its further arguments
    preprocessing: dict[str, Any]  # what the JSON says of the images, as far as it does
    about: dict[str, Any]  # all that the JSON says

    @property
    def is_own(self) -> bool:
        """True if it holds weights of a network of the user's own."""
        return "architecture" not in self.about

    @property
    def json(self) -> Path:
        """The JSON beside it."""
        return self.path.with_suffix(".json")

    @property
    def image_size(self) -> int | None:
        """Side of the images in pixels that the weights were trained with, where the JSON says it."""
        size = self.preprocessing.get("input_size")
        return int(size[-1]) if size else None

    @cached_property
    def tensors(self) -> dict[str, torch.Tensor]:
        """All tensors by name, numbers with a fraction in fp32.

        Raises:
            WeightsError: no safetensors file, or not the one that the JSON was written with.
        """
        with _as_weights(), parsing(self.path, "safetensors"):
            content = self.path.read_bytes()
            tensors = load(content)
        if self.about.get("sha256") not in (None, hashlib.sha256(content).hexdigest()):
            raise WeightsError(
                f"{self.path}: {self.json.name} beside it belongs to another file (its sha256 is not this "
                "one's). Fix: copy both again, from one place."
            )
        return {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}

    def of_backbone(self) -> dict[str, torch.Tensor]:
        """The backbone's tensors by parameter name; of a file that is no trained model, all of them."""
        return of_part("backbone", self.tensors) or self.tensors


def find_weights(weights: str, *, needs_json: bool = True) -> WeightsFile | None:
    """The file that `backbone.weights` names; None for `hub` and `random`.

    Args:
        weights: as the config says it.
        needs_json: False for a network of the user's own.

    Raises:
        WeightsError: no such file, no JSON beside it, or a JSON that does not say what it should.
    """
    if weights in ("hub", "random"):
        return None
    path = SHIPPED if weights == "shipped" else Path(weights).expanduser()
    if path.is_dir():
        try:
            return read_model(path)
        except WeightsError as error:
            raise WeightsError(f"backbone.weights={error}") from None
    if not path.is_file():
        raise WeightsError(f"backbone.weights={weights}: there is no such file.")
    if path.suffix != ".safetensors":
        raise WeightsError(
            f"backbone.weights={weights}: only .safetensors files are read (a pickle could run any code)."
        )
    beside = path.with_suffix(".json")
    if not beside.is_file():
        if not needs_json:
            return WeightsFile(path, "", {}, {}, {})
        raise WeightsError(
            f"backbone.weights={weights}: {beside.name} is missing beside it. It must name the architecture, "
            'e.g. {"architecture": "resnet18", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}.'
        )
    return _described(path, _read(beside))


def read_model(folder: Path) -> WeightsFile:
    """The pair of files that holds a trained model, in a run folder or alone.

    Raises:
        WeightsError: a file is missing, or the JSON is not one that this version reads.
    """
    path = Run(folder).model_file
    beside = path.with_suffix(".json")
    for file in (path, beside):
        if not file.is_file():
            raise WeightsError(
                f"{folder}: this folder holds no {file.name}. Fix: give the folder of a run whose training "
                "has finished, or one with its model.safetensors and model.json."
            )
    about = _read(beside)
    found, version = (
        about.get(key) if isinstance(about, dict) else None for key in ("format", "transferlab")
    )
    if found != MODEL_FORMAT:
        raise WeightsError(
            f"{beside}: its format is {json.dumps(found)}, and this version of transferlab reads "
            f"{MODEL_FORMAT}. Fix: use the version that wrote it ({version or 'unknown'}), or train it again."
        )
    return _described(path, about)


def _described(path: Path, about: Any) -> WeightsFile:
    beside = path.with_suffix(".json")
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
    return WeightsFile(path, architecture, kwargs, found, about)


def is_node(value: object) -> bool:
    """True if a value from a JSON is a config's node; interpolations could read the environment."""
    is_class = isinstance(value, dict) and isinstance(value.get("_target_"), str)
    return is_class and "${" not in json.dumps(value)


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and 0 < value <= 1


def _is_triple(value: object) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(isinstance(x, int | float) for x in value)


def _is_size(value: object) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(type(x) is int and x > 0 for x in value)


# what the JSON may say of the images, and what that can be
_PREPROCESSING: dict[str, Callable[[object], bool]] = {
    "input_size": _is_size,
    "mean": _is_triple,
    "std": _is_triple,
    "interpolation": lambda value: value in ("nearest", "bilinear", "bicubic"),
    "crop_pct": _is_share,
}


def load_into(network: torch.nn.Module, file: WeightsFile) -> None:
    """Copy a file's tensors into a network without classifier; a classifier in the file is left out.

    Raises:
        WeightsError: the tensors do not fit the network.
    """
    tensors, own = file.of_backbone(), network.state_dict()
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
        than = f"{file.architecture} with {file.kwargs or 'default arguments'}"
        raise WeightsError(
            f"backbone.weights={file.path}: these are weights of another architecture than "
            f"{type(network).__name__ if file.is_own else than}: {wrong} {rule} "
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
