"""The head of a saved model, and the bottleneck before it, built again.

A model.json comes from anywhere, so the class that it names needs the same permission as in a config.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from transferlab.backbone.tensor_names import Part, of_part
from transferlab.backbone.weights import read_model
from transferlab.backbone.weights_file import WeightsFile, is_node
from transferlab.config.check import check_part
from transferlab.config.classes import is_allowed
from transferlab.config.instantiation import find_own_modules, located, make
from transferlab.model.classifier import make_bottleneck
from transferlab.run.errors import UserError


class ModelError(UserError):
    """A saved model that cannot be used."""


@dataclass(frozen=True)
class TrainedHead:
    """Head and bottleneck of the model saved in `folder`; `node` is the config of the head.

    The head turns features `(N, D)` into scores `(N, C)` of `classes`, the bottleneck the backbone's features
    into those; None: they are the same.
    """

    folder: Path
    classes: tuple[str, ...]
    node: Mapping[str, Any]
    head: nn.Module
    bottleneck: nn.Module | None

    @classmethod
    def load(cls, folder: str | Path, allow: Sequence[str] = ()) -> TrainedHead:
        """Read it from a folder; `Model.load` says what is checked."""
        return cls.of(read_model(Path(folder).expanduser()), allow)

    @classmethod
    def of(cls, file: WeightsFile, allow: Sequence[str] = ()) -> TrainedHead:
        """Build it from the files of a model; see `load`."""
        about, units = checked(file), file.about["bottleneck_units"]
        with torch.random.fork_rng(devices=[]):  # their first weights do not matter
            bottleneck = None if units is None else make_bottleneck(about["num_features"], units)
            head = _built(file, units or about["num_features"], allow)
        if bottleneck is not None:
            _load(bottleneck, "bottleneck", file)
        _load(head, "head", file)
        return cls(file.path.parent, tuple(about["classes"]), about["head"], head, bottleneck)


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0


def _are_classes(value: Any) -> bool:
    are_texts = isinstance(value, list) and all(isinstance(name, str) for name in value)
    return are_texts and len(set(value)) == len(value) > 0


# what a model.json must say besides the architecture, and what that can be
_KEYS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(
        ("input_size", "mean", "std", "interpolation", "crop_pct", "sha256"), lambda value: value is not None
    ),
    "memory_format": lambda value: value in (None, "channels_last"),
    "num_features": _is_count,
    "bottleneck_units": lambda value: value is None or _is_count(value),
    "head": is_node,
    "label_kind": lambda value: value == "class",
    "classes": _are_classes,
    "temperature": lambda value: value is None or (type(value) in (int, float) and 0 < value < math.inf),
    "domain": lambda value: value in (None, "target"),
}


def checked(file: WeightsFile) -> Mapping[str, Any]:
    """The content of model.json, complete and with valid values.

    Raises:
        ModelError: something is missing or wrong.
    """
    about = file.about
    for key, fits in (_KEYS | {"num_classes": lambda value: value == len(about["classes"])}).items():
        if key not in about or not fits(about[key]):
            wrong = f"cannot be {json.dumps(about[key])}" if key in about else "is missing"
            raise ModelError(f"{file.json}: `{key}` {wrong}. Fix: copy it again from the run that wrote it.")
    return about


def permitted(file: WeightsFile, key: Literal["head", "network"], allow: Sequence[str]) -> dict[str, Any]:
    """The node of a class that a model.json names, one that may be made.

    Raises:
        ModelError: it is not allowed, or does not take its arguments.
    """
    node, target = file.about[key], file.about[key]["_target_"]
    if not is_allowed(target, allow):
        raise ModelError(
            f"{file.json}: {key}._target_={target}: a model may not name this class. Fix: if it is your own, "
            f"allow its module: allow=[{target.rpartition('.')[0] or target}]."
        )
    if problems := check_part(node, key, allow=allow):
        raise ModelError(
            f"{file.json}: {' '.join(problems)} Fix: use the version that wrote it "
            f"({file.about.get('transferlab')}), or train the model again."
        )
    find_own_modules(allow)
    return node


def _built(file: WeightsFile, num_features: int, allow: Sequence[str]) -> nn.Module:
    """The head that the model.json describes, with its first weights."""
    node = permitted(file, "head", allow)
    target = node["_target_"]
    try:
        if not callable(getattr(located(target), "build", None)):
            raise TypeError("it has no method `build`")
        head = make(node, path="head").build(num_features, file.about["num_classes"])
        if not isinstance(head, nn.Module):
            raise TypeError("its `build` gives no module")
    except Exception as error:  # a user's own class raises anything
        raise ModelError(
            f"{file.json}: {target} is no head that can be built ({error}). Fix: copy the file again from "
            "the run that wrote it."
        ) from error
    return head


def _load(module: nn.Module, part: Part, file: WeightsFile) -> None:
    try:
        module.load_state_dict(of_part(part, file.tensors))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip().rstrip(".")
        raise ModelError(
            f"{file.path}: its {part} is not the one that {file.json.name} describes ({reason}). Fix: copy "
            "both files again, from one run."
        ) from error
