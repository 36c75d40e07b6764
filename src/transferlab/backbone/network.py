"""The backbone: a timm network without its classifier."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Any, Literal

import timm
import torch
from timm.data import resolve_data_config
from timm.models import register_model
from torch import nn

from transferlab.backbone.boundary import Boundary, run_rest
from transferlab.backbone.checkpointing import checkpoint_gradients
from transferlab.backbone.hub import why_unreachable
from transferlab.backbone.small_convnet import mnist_convnet
from transferlab.backbone.stages import Stage, ordered_stages
from transferlab.backbone.weights import WeightsError, WeightsFile, find_weights, load_into
from transferlab.config.bounds import Above, AtMost, PositiveInt

# Arguments of timm.create_model that are about weights, or that this program gives itself
_NOT_ARCHITECTURE = {
    "cache_dir",
    "checkpoint_path",
    "num_classes",
    "pretrained",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
}


register_model(mnist_convnet)  # from now on a name like timm's own


class Backbone(nn.Module):
    """Images to features, as ordered stages.

    Args:
        name: timm's name of the architecture; may be None where the weights file names it.
        weights: `hub`, `random`, `shipped`, a `.safetensors` file, or an earlier run folder.
        image_size: side of the square input in pixels; None: what the weights were trained with.
        crop_pct: share of the image's side that the centre crop keeps, up to 1; None: as in the pretraining.
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
        image_size: PositiveInt | None = None,
        crop_pct: Annotated[float, Above(0), AtMost(1)] | None = None,
        gradient_checkpointing: bool = False,
        kwargs: dict | None = None,
        load_weights: bool = True,
    ) -> None:
        super().__init__()
        file = find_weights(weights)
        self.name, self.kwargs = _architecture(name, dict(kwargs or {}), file, weights)
        self.weights = weights
        self.gradient_checkpointing = gradient_checkpointing
        self.boundary: Boundary | None = None  # where `forward` begins; None: with images
        self.memory_format: Literal["channels_last"] | None = None  # of the convolutions; None: torch's own
        image_size = image_size or (file.image_size if file else None)
        self.network = _create(
            self.name, self.kwargs, image_size, pretrained=load_weights and weights == "hub"
        )
        if file is not None and load_weights:
            load_into(self.network, file)
        if gradient_checkpointing:
            self._checkpoint_gradients()
        found = resolve_data_config(pretrained_cfg=self.network.pretrained_cfg)
        found |= file.preprocessing if file else {}
        self.preprocessing: dict[str, Any] = {
            "image_size": int(image_size or found["input_size"][-1]),
            "mean": tuple(found["mean"]),
            "std": tuple(found["std"]),
            "interpolation": str(found["interpolation"]),
            "crop_pct": float(crop_pct or found["crop_pct"]),
        }
        self.stages: tuple[Stage, ...] = ordered_stages(self.network)
        self.num_features = self._count_features()

    def forward(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        """Pooled features `(N, num_features)` of normalised images `(N, 3, H, W)`.

        With `boundary` it takes activations `(N, *boundary.shape)` there instead of images.
        """
        if self.boundary is not None:
            return run_rest(self.network, self.boundary, images_NCHW)
        return self.network(images_NCHW)

    def use_channels_last(self) -> None:
        """Store the convolutions' weights in torch's memory format `channels_last`."""
        self.network.to(memory_format=torch.channels_last)
        self.memory_format = "channels_last"

    def _checkpoint_gradients(self) -> None:
        try:
            checkpoint_gradients(self.network)
        except (AttributeError, AssertionError) as error:
            raise WeightsError(
                f"backbone.gradient_checkpointing=true: {self.name} does not offer it. Set it to false."
            ) from error

    def _count_features(self) -> int:
        was_training = self.network.training
        self.network.eval()
        side = self.preprocessing["image_size"]
        try:
            with torch.no_grad():
                features = self.network(torch.zeros(1, 3, side, side))
        except Exception as error:  # each network complains in its own way
            given = f" with backbone.kwargs={self.kwargs}" if self.kwargs else ""
            raise WeightsError(
                f"backbone.name={self.name}{given} can not take images of {side} px ({_reason(error)}). "
                "Set data.image_size to a size that it takes."
            ) from error
        self.network.train(was_training)
        if not isinstance(features, torch.Tensor) or features.ndim != 2:
            raise WeightsError(
                f"backbone.kwargs={self.kwargs}: with these, {self.name} does not give one vector "
                "of features for each image. Leave out global_pool, features_only and the like."
            )
        return int(features.shape[1])


def _architecture(
    name: str | None, kwargs: dict[str, Any], file: WeightsFile | None, weights: str
) -> tuple[str, dict[str, Any]]:
    """The name and the arguments for timm, from the config or from the weights file; the two must agree."""
    if name is not None:
        _refuse_unknown(name)
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


def _create(name: str, kwargs: dict[str, Any], image_size: int | None, *, pretrained: bool) -> nn.Module:
    _refuse_unknown(name)
    if not_architecture := sorted(_NOT_ARCHITECTURE.intersection(kwargs)):
        raise WeightsError(
            f"backbone.kwargs.{not_architecture[0]} says nothing of the architecture, and kwargs is for that "
            "alone. backbone.weights says which weights to use."
        )
    known = timm.get_pretrained_cfg(name)
    if pretrained and (known is None or not known.has_weights):
        raise WeightsError(
            f"backbone.weights=hub: nobody has published weights of {name} for timm. Choose another network, "
            "or give a file: backbone.weights=FILE.safetensors; backbone.weights=random starts from nothing."
        )
    if pretrained and (reason := why_unreachable(name)):
        raise WeightsError(_not_loaded(name, reason))
    # by this argument, networks of a fixed input size (ViT, Swin) are told another one
    fixed = {"img_size": image_size} if image_size and known is not None and known.fixed_input_size else {}
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=0, **{**kwargs, **fixed})
    except TypeError as error:
        given = f"backbone.kwargs={kwargs}" if kwargs else f"data.image_size={image_size}"
        raise WeightsError(f"{given}: timm's {name} does not take this ({_reason(error)}).") from error
    except Exception as error:  # whatever timm, the hub's client and the file's reader raise
        if not pretrained:
            raise WeightsError(
                f"backbone.name={name}: timm could not build it ({_reason(error)})."
            ) from error
        raise WeightsError(_not_loaded(name, _reason(error))) from error


def _not_loaded(name: str, reason: str) -> str:
    return (
        f"backbone.weights=hub: the weights of {name} could not be loaded ({reason}). "
        "Check the connection (and HF_ENDPOINT, HF_HUB_OFFLINE), or give a file: "
        "backbone.weights=FILE.safetensors; backbone.weights=random starts from nothing."
    )


def _refuse_unknown(name: str) -> None:
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        close = get_close_matches(architecture, timm.list_models(), n=4, cutoff=0.6)
        mend = f"Did you mean {', '.join(close)}?" if close else "timm.list_models() lists them all."
        raise WeightsError(f"backbone.name={name}: timm {timm.__version__} has no such network. {mend}")
    tagged = timm.list_pretrained(f"{architecture}.*")
    if tag and name not in tagged:
        close = get_close_matches(name, tagged, n=4, cutoff=0.0)
        mend = f"It has {', '.join(close)}." if close else "It has none."
        raise WeightsError(f"backbone.name={name}: timm {timm.__version__} has no such weights. {mend}")


def _reason(error: BaseException) -> str:
    """What went wrong, on one line."""
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
