"""A classifier small enough to check by hand, with real stages."""

from __future__ import annotations

import torch
from torch import nn

from transferlab.backbone.classifier import Classifier
from transferlab.backbone.network import Backbone


def tiny_classifier(num_classes: int = 3, *, name: str = "resnet10t") -> Classifier:
    """Five stages (ResNet) or three (ViT) on images of 32 px; a head with gradients to see."""
    torch.manual_seed(0)
    kwargs = {
        "resnet10t": {"channels": [8, 8, 16, 16], "stem_width": 8, "zero_init_last": False},
        "test_vit": {"depth": 2},
    }[name]
    network = Classifier(
        Backbone(name=name, weights="random", image_size=32, kwargs=kwargs), num_classes=num_classes
    )
    nn.init.normal_(network.head.weight)
    return network
