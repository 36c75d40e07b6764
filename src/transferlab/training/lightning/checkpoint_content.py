"""A checkpoint's content: read, and compared with the network and the optimizer that go on from it."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import pytorch_lightning as pl
import torch
from annotated_types import MinLen
from pydantic import InstanceOf
from typing_extensions import TypedDict

from transferlab.run.reading import of_shape, parsing, unreadable
from transferlab.training.lightning.module import TransferModule


def load_checkpoint(file: Path) -> dict[str, Any]:
    """A checkpoint's content, on the CPU; nothing but tensors and plain values is unpickled.

    Raises:
        UnreadableFile: it is damaged, be it in one bit, or no checkpoint of ours.
    """
    fix = _start_over(file)
    with parsing(file, "checkpoint", fix=fix):
        with zipfile.ZipFile(file) as archive:
            if damaged := archive.testzip():  # compares checksums, which torch does not
                raise ValueError(f"{damaged} in it is damaged")
        content = torch.load(file, map_location="cpu", weights_only=True)
    return of_shape(content, _Content, file, fix=fix)


def require_same_network(content: dict[str, Any], module: TransferModule, file: Path) -> None:
    """Refuse a checkpoint of another network than the module's; raises `UnreadableFile`."""
    saved, own = content["state_dict"], module.state_dict()
    tensors = {name: value for name, value in own.items() if torch.is_tensor(value)}
    if misfit := _misfit(saved, tensors) or next((name for name in saved if name not in own), None):
        reason = f"it is of another network or strategy than config.yaml describes ({misfit})"
        raise unreadable(file, reason, _start_over(file))


def require_position(content: dict[str, Any], trainer: pl.Trainer, file: Path) -> None:
    """Refuse a checkpoint without the trainer's position in its loops; raises `UnreadableFile`.

    Those of other versions Lightning translates itself.
    """
    if content["pytorch-lightning_version"] != pl.__version__:
        return
    if misfit := _misfit(content["loops"].get("fit_loop"), trainer.fit_loop.state_dict(), "loops.fit_loop"):
        raise unreadable(file, f"it does not say where the training stood ({misfit})", _start_over(file))


class OptimizerCheck(pl.Callback):
    """Refuses a checkpoint that does not fit the optimizers: once they are made, before they are restored."""

    def __init__(self, content: dict[str, Any], file: Path) -> None:
        self.saved, self.file = content["optimizer_states"], file

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Raises `UnreadableFile`."""
        if not _fits_optimizers(self.saved, trainer.optimizers):
            raise unreadable(self.file, "its optimizer is not that of this run", _start_over(self.file))
        self.saved = []


def _fits_optimizers(saved: list[dict[str, Any]], optimizers: Sequence[torch.optim.Optimizer]) -> bool:
    """True if each of these states has the groups and the parameters of its optimizer."""
    if len(saved) != len(optimizers):
        return False
    for found, optimizer in zip(saved, optimizers, strict=True):
        own = optimizer.state_dict()["param_groups"]
        if len(found["param_groups"]) != len(own) or not all(map(_fits_group, found["param_groups"], own)):
            return False
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        kinds: dict[str, type] = {}  # of the first parameter's state, which those of the others share
        for number, state in found["state"].items():
            kinds = kinds or {name: type(value) for name, value in state.items()}
            if number >= len(parameters) or kinds != {name: type(value) for name, value in state.items()}:
                return False
            if torch.is_tensor(state.get("step")) and state["step"].numel() != 1:
                return False
            shaped = [state[name] for name in _LIKE_THE_PARAMETER & state.keys() if state[name] is not None]
            if any(getattr(value, "shape", None) != parameters[number].shape for value in shaped):
                return False
    return True


def _fits_group(found: Mapping[str, Any], own: Mapping[str, Any]) -> bool:
    """True if a group holds the same parameters; options that a later torch has added may be missing."""
    known = {name: value for name, value in own.items() if name in found or name == "params"}
    return _misfit(found, known | {"lr": 0.0}) is None


# names of values in an optimizer's state that have the shape of their parameter
_LIKE_THE_PARAMETER = frozenset(
    {"exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg", "grad_avg", "sum"}
)


def _misfit(found: Any, expected: Any, path: str = "") -> str | None:
    """The first place where content is not of the structure that is expected; it may hold more."""
    if isinstance(expected, Mapping):
        if not isinstance(found, Mapping):
            return path
        inner = (
            _misfit(found.get(key), value, f"{path}.{key}" if path else str(key))
            for key, value in expected.items()
        )
        return next((misfit for misfit in inner if misfit is not None), None)
    if isinstance(expected, list):
        if not isinstance(found, list) or len(found) != len(expected):
            return path
        return _misfit(dict(enumerate(found)), dict(enumerate(expected)), path)
    if torch.is_tensor(expected):
        return None if getattr(found, "shape", None) == expected.shape else path
    if type(expected) is float and type(found) is int:
        return None
    return None if isinstance(found, type(expected)) else path


def _start_over(file: Path) -> str:
    return f"delete {file}; then transferlab resume {file.parent.parent} starts this run over"


class _Means(TypedDict):
    sums: dict[str, InstanceOf[torch.Tensor]]
    counts: dict[str, int]


class _Record(TypedDict):
    history: list[dict[str, float]]
    means: Annotated[list[_Means], MinLen(1)]
    seconds: float
    validation: dict[str, float]


class _OptimizerState(TypedDict):
    state: dict[int, dict[str, InstanceOf[torch.Tensor] | float | None]]
    param_groups: list[dict[str, Any]]


# `pytorch-lightning_version` is no name of Python's
_Lightnings = TypedDict(
    "_Lightnings",
    {
        "pytorch-lightning_version": str,
        "epoch": int,
        "global_step": int,
        "callbacks": dict[str, Any],
        "lr_schedulers": list[Any],
    },
)


class _Content(_Lightnings):
    state_dict: dict[str, Any]
    optimizer_states: list[_OptimizerState]
    loops: dict[str, Any]
    transferlab: _Record
