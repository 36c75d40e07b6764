"""The backbone: a timm network without its classifier."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

import timm
import torch
from timm.data import resolve_data_config
from torch import nn

from transferlab.backbone.stages import Stage, ordered_stages
from transferlab.backbone.weights import WeightsError, WeightsFile, find_weights, load_into


class Backbone(nn.Module):
    """Images to features, as ordered stages.

    Args:
        name: timm's name of the architecture; may be None where the weights file names it.
        weights: `hub`, `random`, `shipped`, a `.safetensors` file, or an earlier run folder.
        image_size: side of the square input in pixels; None: what the weights were trained with.
        gradient_checkpointing: recompute activations in the backward pass to save memory.
        kwargs: further arguments for `timm.create_model`.
        load_weights: False leaves the random initialisation, with everything else that `weights` says
            (from scratch; before a checkpoint is loaded).

    Raises:
        WeightsError: an unknown name, weights that can not be found or read, or of another architecture.
    """

    def __init__(
        self,
        *,
        name: str | None,
        weights: str = "hub",
        image_size: int | None = None,
        gradient_checkpointing: bool = False,
        kwargs: dict | None = None,
        load_weights: bool = True,
    ) -> None:
        super().__init__()
        file = find_weights(weights)
        self.name, self.kwargs = _architecture(name, dict(kwargs or {}), file, weights)
        self.weights = weights
        fixed = _fixed_size(self.name, image_size)
        self.network = _create(self.name, {**self.kwargs, **fixed}, pretrained=load_weights and weights == "hub")
        if file is not None and load_weights:
            load_into(self.network, file)
        if gradient_checkpointing:
            self._checkpoint_gradients()
        found = resolve_data_config(pretrained_cfg=self.network.pretrained_cfg)
        size = image_size or found["input_size"][-1]
        if file is not None:
            found |= {key: value for key, value in file.preprocessing.items() if key != "input_size"}
            size = image_size or file.preprocessing.get("input_size", [size])[-1]
        self.preprocessing: dict[str, Any] = {
            "image_size": int(size),
            "mean": tuple(found["mean"]),
            "std": tuple(found["std"]),
            "interpolation": str(found["interpolation"]),
            "crop_pct": float(found["crop_pct"]),
        }
        self.stages: tuple[Stage, ...] = ordered_stages(self.network)
        self.num_features = self._count_features()

    def forward(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        """Pooled features `(N, num_features)` of normalised images `(N, 3, H, W)`."""
        return self.network(images_NCHW)

    def _checkpoint_gradients(self) -> None:
        try:
            self.network.set_grad_checkpointing(True)
        except (AttributeError, AssertionError) as error:
            raise WeightsError(
                f"backbone.gradient_checkpointing=true: timm's {self.name} does not support it. Set it to false."
            ) from error

    def _count_features(self) -> int:
        was_training = self.network.training
        self.network.eval()
        side = self.preprocessing["image_size"]
        try:
            with torch.no_grad():
                features = self.network(torch.zeros(1, 3, side, side))
        except (RuntimeError, AssertionError, ValueError) as error:
            raise WeightsError(
                f"backbone.name={self.name} can not take images of {side} px ({str(error).splitlines()[0]}). "
                "Set data.image_size to a size that it takes."
            ) from error
        self.network.train(was_training)
        return int(features.shape[1])


def _architecture(
    name: str | None, kwargs: dict[str, Any], file: WeightsFile | None, weights: str
) -> tuple[str, dict[str, Any]]:
    """timm's name and the arguments, from the config or from the weights file; the two must agree."""
    if file is None:
        if name is None:
            raise WeightsError("backbone.name has no value. Set it: backbone.name=resnet18 (any timm name).")
        return name, kwargs
    if name is not None and name.split(".")[0] != file.architecture.split(".")[0]:
        raise WeightsError(
            f"backbone.weights={weights} holds weights of another architecture: {file.architecture}, "
            f"but backbone.name={name}. Choose backbone=timm, which takes the name from the file."
        )
    return name or file.architecture, {**file.kwargs, **kwargs}


def _fixed_size(name: str, image_size: int | None) -> dict[str, int]:
    """The argument by which networks of a fixed input size (ViT, Swin) are told another one."""
    known = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    if image_size is not None and known is not None and known.fixed_input_size:
        return {"img_size": image_size}
    return {}


def _create(name: str, kwargs: dict[str, Any], pretrained: bool) -> nn.Module:
    if not timm.is_model(name):
        raise WeightsError(_unknown(name))
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=0, **kwargs)
    except TypeError as error:
        raise WeightsError(f"backbone.kwargs={kwargs}: timm's {name} does not take them ({error}).") from error
    except (OSError, RuntimeError, ValueError) as error:
        if not pretrained:
            raise WeightsError(f"backbone.name={name}: timm could not build it ({error}).") from error
        raise WeightsError(
            f"backbone.weights=hub: the weights of {name} could not be loaded ({_reason(error)}). "
            "Check the connection (and HF_ENDPOINT, HF_HUB_OFFLINE), or give a file: "
            "backbone.weights=FILE.safetensors; backbone.weights=random starts from nothing."
        ) from error


def _unknown(name: str) -> str:
    models = timm.list_models()
    close = get_close_matches(name.split(".")[0], models, n=4, cutoff=0.6)
    mend = f" Did you mean {', '.join(close)}?" if close else " timm.list_models() lists them all."
    return f"backbone.name={name}: timm {timm.__version__} has no such network.{mend}"


def _reason(error: BaseException) -> str:
    """The first line of what went wrong, deepest cause first where it says more."""
    text = str(error).strip().splitlines()
    return (text[0] if text else type(error).__name__)[:200]
