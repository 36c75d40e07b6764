"""A trained model, built again from a run's model.safetensors and model.json: no checkpoint, no pickle."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from safetensors import SafetensorError
from safetensors.torch import load_file

from transferlab.backbone.classifier import Classifier, make_bottleneck
from transferlab.data.preprocessing import Preprocessing
from transferlab.run.errors import UserError
from transferlab.run.folder import Run
from transferlab.training.build import make


@dataclass(frozen=True)
class SavedModel:
    """A trained network, and what its images and answers are.

    Attributes:
        network: in evaluation mode, on the CPU.
        classes: what its outputs stand for.
        preprocessing: what it wants to be shown.
    """

    network: Classifier
    classes: tuple[str, ...]
    preprocessing: Preprocessing


def load_model(run: Run, config: DictConfig) -> SavedModel:
    """The model that a run has left.

    Args:
        run: finished.
        config: of the run, checked; its `backbone` and `strategy.head` say how the network is made.

    Raises:
        UserError: there is no model, or it can not be read or does not fit the config.
    """
    file = run.path / "model.safetensors"
    if not file.is_file():
        raise UserError(f"{run.path}: there is no model.safetensors in it. Has the run finished?")
    about: dict[str, Any] = json.loads((run.path / "model.json").read_text(encoding="utf-8"))
    # the run's own folder is where its weights are; what they began with may be gone
    node = OmegaConf.merge(config.backbone, {"weights": str(run.path)})
    assert isinstance(node, DictConfig)
    backbone = make(node, load_weights=False)
    if config.fit.get("channels_last"):
        backbone.network.to(memory_format=torch.channels_last)
    units = about["bottleneck_units"]
    bottleneck = None if units is None else make_bottleneck(backbone.num_features, units)
    head = make(config.strategy.head).build(units or backbone.num_features, about["num_classes"])
    network = Classifier(backbone, head, bottleneck=bottleneck)
    try:
        tensors = load_file(file)
        for prefix, part in (
            ("backbone", backbone.network),
            ("bottleneck", network.bottleneck),
            ("head", head),
        ):
            own = {name: value for name, value in tensors.items() if name.startswith(f"{prefix}.")}
            part.load_state_dict({name.removeprefix(f"{prefix}."): value for name, value in own.items()})
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{file}: these are not the weights that {run.config_file} describes ({reason})."
        ) from error
    return SavedModel(network.eval(), tuple(about["classes"]), Preprocessing(**backbone.preprocessing))
