"""A backbone from timm: a network by its name, without its classifier."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Any, Literal

import timm
from timm.data import resolve_data_config
from timm.models import register_model

from transferlab.backbone.hub import why_unreachable
from transferlab.backbone.network import Backbone
from transferlab.backbone.small_convnet import mnist_convnet
from transferlab.backbone.weights import find_weights
from transferlab.backbone.weights_file import WeightsError, WeightsFile, image_size_of, load_into
from transferlab.config.bounds import Above, AtMost, PositiveInt
from transferlab.config.instantiation import described

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


def timm_backbone(
    *,
    name: str | None,
    weights: str = "hub",
    image_size: PositiveInt | None = None,
    crop_pct: Annotated[float, Above(0), AtMost(2)] | None = None,
    crop_mode: Literal["center", "squash", "border"] | None = None,
    gradient_checkpointing: bool = False,
    kwargs: dict | None = None,
    load_weights: bool = True,
) -> Backbone:
    """A network of timm; conf/backbone/timm.yaml describes the arguments.

    `load_weights=False` leaves the random initialisation, with everything else that `weights` says (from
    scratch; before a checkpoint is loaded).

    Raises:
        WeightsError: an unknown name, weights that cannot be found or read, or of another architecture.
    """
    file = find_weights(weights, name)
    name, kwargs = _architecture(name, dict(kwargs or {}), file, weights)
    size: int | tuple[int, int] | None = image_size or (file.image_size if file else None)
    network = _create(name, kwargs, size, pretrained=load_weights and weights == "hub")
    notes = load_into(network, file) if file is not None and load_weights else ()
    found = resolve_data_config(pretrained_cfg=network.pretrained_cfg)
    found |= file.preprocessing if file else {}
    preprocessing: dict[str, Any] = {
        "image_size": size or image_size_of(found["input_size"]),
        "mean": tuple(found["mean"]),
        "std": tuple(found["std"]),
        "interpolation": str(found["interpolation"]),
        "crop_pct": float(crop_pct or found["crop_pct"]),
        "crop_mode": str(crop_mode or found["crop_mode"]),
    }
    return Backbone(
        network,
        name=name,
        kwargs=kwargs,
        weights=weights,
        preprocessing=preprocessing,
        gradient_checkpointing=gradient_checkpointing,
        notes=notes,
    )


def require_weights(name: str | None, weights: str) -> None:
    """Find weights before anything is made or decoded; of the hub, a single request.

    Raises:
        WeightsError: they cannot be had.
    """
    if find_weights(weights, name) is None and weights == "hub" and name is not None:
        _refuse_unknown(name)
        _refuse_unavailable(name)


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
    if file.is_own:
        raise WeightsError(
            f"backbone.weights={weights} holds weights of a network of the user's own, {file.architecture}. "
            "Fix: choose its config (backbone=own, or your own file in conf/backbone)."
        )
    if name is not None and name.split(".")[0] != file.architecture.split(".")[0]:
        raise WeightsError(
            f"backbone.weights={weights} holds weights of another architecture: {file.architecture}, "
            f"but backbone.name={name}. Choose backbone=timm, which takes the name from the file."
        )
    return name or file.architecture, {**file.kwargs, **kwargs}


def _create(
    name: str, kwargs: dict[str, Any], image_size: int | tuple[int, int] | None, *, pretrained: bool
) -> Any:
    _refuse_unknown(name)
    if not_architecture := sorted(_NOT_ARCHITECTURE.intersection(kwargs)):
        raise WeightsError(
            f"backbone.kwargs.{not_architecture[0]} says nothing of the architecture, and kwargs is for that "
            "alone. backbone.weights says which weights to use."
        )
    known = timm.get_pretrained_cfg(name)
    if pretrained:
        _refuse_unavailable(name)
    # by this argument, networks of a fixed input size (ViT, Swin) are told another one
    fixed = {"img_size": image_size} if image_size and known is not None and known.fixed_input_size else {}
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=0, **{**kwargs, **fixed})
    except TypeError as error:
        given = f"backbone.kwargs={kwargs}" if kwargs else f"data.image_size={image_size}"
        raise WeightsError(f"{given}: timm's {name} does not take this ({described(error)}).") from error
    except Exception as error:  # whatever timm, the hub's client and the file's reader raise
        if not pretrained:
            raise WeightsError(
                f"backbone.name={name}: timm could not build it ({described(error)})."
            ) from error
        raise WeightsError(_not_loaded(name, described(error))) from error


def _refuse_unavailable(name: str) -> None:
    known = timm.get_pretrained_cfg(name)
    if known is None or not known.has_weights:
        raise WeightsError(
            f"backbone.weights=hub: nobody has published weights of {name} for timm. Choose another network, "
            "or give a file: backbone.weights=FILE.safetensors; backbone.weights=random starts from nothing."
        )
    if reason := why_unreachable(name):
        raise WeightsError(_not_loaded(name, reason))


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
