"""A trained model: a network and what it takes and gives, saved as two files that need nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save
from torch import nn

import transferlab
from transferlab.backbone.own_network import own_backbone
from transferlab.backbone.tensor_names import named
from transferlab.backbone.timm_network import timm_backbone
from transferlab.backbone.weights import MODEL_FORMAT, read_model
from transferlab.backbone.weights_file import WeightsError, load_into
from transferlab.data.image.preprocessing import Preprocessing
from transferlab.model.classifier import Classifier
from transferlab.model.trained_head import ModelError, TrainedHead, permitted
from transferlab.run.run_folder import Run, write_atomically

_DENSE = torch.contiguous_format


@dataclass(frozen=True)
class Model:
    """A trained network, and what its inputs and outputs are.

    Attributes:
        network: normalised images `(N, 3, H, W)` to class scores `(N, C)`.
        classes: what the scores stand for.
        preprocessing: how images are prepared for it.
        head: the config of its head: `_target_` and arguments.
        label_kind: what kind of labels it was trained on.
        temperature: what class scores are divided by before the softmax; None: they are not.
        domain: `target` where its batch norms hold the target's statistics alone.

    >>> model = Model.load("runs/fine_tune/2026-01-31_12-00-00_ab12cd")  # doctest: +SKIP
    >>> model.classes  # doctest: +SKIP
    ('cat', 'dog')
    """

    network: Classifier
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    head: Mapping[str, Any]
    label_kind: Literal["class"] = "class"
    temperature: float | None = None
    domain: Literal["target"] | None = None

    def save(self, folder: str | Path) -> None:
        """Write model.safetensors and model.json into a folder.

        The JSON holds a hash of the tensors: a reader that comes between the two, or after a kill there, sees
        that they do not belong together.
        """
        network, backbone = self.network, self.network.backbone
        file = Run(folder).model_file
        tensors = named("backbone", backbone.network.state_dict())
        tensors |= named("bottleneck", network.bottleneck.state_dict())
        tensors |= named("head", network.head.state_dict())
        # copies, as a network may use one tensor in two places
        content = save({name: t.detach().cpu().clone(memory_format=_DENSE) for name, t in tensors.items()})
        beside = file.with_name(f".{file.name}.tmp")
        beside.write_bytes(content)
        first = next(network.bottleneck.children(), None)
        images = self.preprocessing
        origin: dict[str, Any] = {"architecture": backbone.name, "model_kwargs": backbone.kwargs}
        if backbone.code is not None:
            origin = {"network": {"_target_": backbone.name, **backbone.kwargs}}
        about = {
            "format": MODEL_FORMAT,
            **origin,
            "memory_format": backbone.memory_format,
            "num_features": backbone.num_features,
            "bottleneck_units": first.out_features if isinstance(first, nn.Linear) else None,
            "head": self.head,
            "label_kind": self.label_kind,
            "num_classes": len(self.classes),
            "classes": list(self.classes),
            "temperature": self.temperature,
            "domain": self.domain,
            "input_size": [3, *images.size_px],
            "mean": images.mean,
            "std": images.std,
            "interpolation": images.interpolation,
            "crop_pct": images.crop_pct,
            "crop_mode": images.crop_mode,
            "sha256": hashlib.sha256(content).hexdigest(),
            "transferlab": transferlab.__version__,
        }
        write_atomically(file.with_suffix(".json"), json.dumps(about, indent=2) + "\n")
        beside.replace(file)

    @classmethod
    def load(cls, folder: str | Path, allow: Sequence[str] = ()) -> Model:
        """The model in a folder: a run's, or a copy of its two files. Nothing is fetched, nothing unpickled.

        `allow` names the user's own modules that network and head may come from. The network is in evaluation
        mode, on the CPU.

        Raises:
            UserError: a file is missing, damaged, of another format or not of the same run as the other; or
                the class of network or head may not be named, or does not take its arguments.
        """
        file = read_model(Path(folder).expanduser())
        trained = TrainedHead.of(file, allow)
        weights = str(file.path.parent.resolve())
        own = permitted(file, "network", allow) if file.is_own else None
        try:
            with torch.random.fork_rng(devices=[]):  # the first weights do not matter
                backbone = (
                    timm_backbone(name=None, weights=weights, load_weights=False)
                    if own is None
                    else own_backbone(network=own, weights=weights, load_weights=False)
                )
            load_into(backbone.network, file)
        except WeightsError as error:
            fix = f", or bring back the code of {own['_target_']} as it was" if own else ""
            raise ModelError(
                f"{file.json}: {error} Fix: copy it again from the run that wrote it{fix}."
            ) from error
        if file.about["memory_format"] == "channels_last":
            backbone.use_channels_last()
        return cls(
            Classifier(backbone, trained.head, bottleneck=trained.bottleneck).eval(),
            trained.classes,
            Preprocessing(**backbone.preprocessing),
            trained.node,
            file.about["label_kind"],
            file.about["temperature"],
            file.about["domain"],
        )
