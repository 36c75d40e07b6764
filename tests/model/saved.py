"""Small models to save, and images for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from PIL import Image
from torch import nn

from transferlab.backbone.network import Backbone
from transferlab.backbone.timm_network import timm_backbone
from transferlab.config.compose import compose_checked
from transferlab.config.instantiation import make
from transferlab.data.image.preprocessing import Preprocessing
from transferlab.model.classifier import Classifier, make_bottleneck
from transferlab.model.model import Model

KWARGS = {"channels": [8, 8, 16, 16], "stem_width": 8, "zero_init_last": False}


def tiny_model(
    *chosen: str,
    classes: Sequence[str] = ("a", "b", "c"),
    backbone: Backbone | None = None,
    units: int | None = None,
    seed: int = 0,
    **further: Any,
) -> Model:
    """A network on images of 32 px with the head that these overrides choose; its scores differ by class."""
    torch.manual_seed(seed)
    node = compose_checked(["strategy=fine_tune", *chosen]).config.strategy.head
    if backbone is None:
        backbone = timm_backbone(name="resnet10t", weights="random", image_size=32, kwargs=KWARGS)
    bottleneck = None if units is None else make_bottleneck(backbone.num_features, units)
    head = make(node).build(units or backbone.num_features, len(classes))
    for parameter in head.parameters():
        nn.init.normal_(parameter)
    network = Classifier(backbone, head, bottleneck=bottleneck).eval()
    preprocessing = Preprocessing(**backbone.preprocessing)
    return Model(network, tuple(classes), preprocessing, OmegaConf.to_container(node), **further)  # type: ignore


def pictures(root: str, classes: Sequence[str], *, each: int = 4) -> None:
    """Noise in class folders, other noise in each file."""
    rng = np.random.default_rng(0)
    for name in classes:
        for number in range(each):
            file = Path(root, name, f"{number}.png")
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (36, 36, 3), np.uint8)).save(file)
