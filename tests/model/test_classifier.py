"""Backbone and head together, and where dropout stands."""

from __future__ import annotations

import torch
from torch import nn

from transferlab.backbone.network import Backbone
from transferlab.backbone.timm_network import timm_backbone
from transferlab.model.classifier import Classifier


def tiny() -> Backbone:
    kwargs = {"channels": [8, 8, 16, 16], "stem_width": 8}
    return timm_backbone(name="resnet10t", weights="random", image_size=32, kwargs=kwargs)


def test_forward_is_features_then_head():
    head = nn.Linear(16, 3)
    network = Classifier(tiny(), head, head_dropout=0.5).eval()
    images = torch.randn(2, 3, 32, 32)
    features = network.features(images)
    assert features.shape == (2, network.backbone.num_features) == (2, 16)
    torch.testing.assert_close(network(images), features @ head.weight.T + head.bias)


def test_dropout_drops_features_in_training_alone():
    network = Classifier(tiny(), nn.Linear(16, 1), head_dropout=0.5)
    nn.init.ones_(network.head.weight)
    nn.init.zeros_(network.head.bias)
    features = torch.ones(1000, 16)
    network.train()
    sums = network.classify(features).squeeze(1)
    assert set(sums.tolist()) <= {2.0 * kept for kept in range(17)}  # kept ones count double
    assert abs(sums.mean().item() - 16) < 0.5
    network.eval()
    assert (network.classify(features) == 16).all()
