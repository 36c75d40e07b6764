"""A classifier small enough to check by hand, with real stages."""

from __future__ import annotations

import torch
from torch import nn

from transferlab.backbone.timm_network import timm_backbone
from transferlab.model.classifier import Classifier
from transferlab.strategy.head.linear import Linear
from transferlab.strategy.parts import Head

LINEAR = Linear()


def tiny_classifier(num_classes: int = 3, *, name: str = "resnet10t", head: Head = LINEAR) -> Classifier:
    """Five stages (ResNet) or three (ViT) on images of 32 px; a head with gradients to see."""
    torch.manual_seed(0)
    kwargs = {
        "resnet10t": {"channels": [8, 8, 16, 16], "stem_width": 8, "zero_init_last": False},
        "test_vit": {"depth": 2},
    }[name]
    backbone = timm_backbone(name=name, weights="random", image_size=32, kwargs=kwargs)
    network = Classifier(backbone, head.build(backbone.num_features, num_classes))
    for parameter in network.head.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter)
    return network
