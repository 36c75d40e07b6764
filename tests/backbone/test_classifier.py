"""The head: small, fresh, and where dropout stands."""

from __future__ import annotations

import torch

from transferlab.backbone.classifier import Classifier
from transferlab.backbone.network import Backbone

TINY = {"channels": [8, 8, 16, 16], "stem_width": 8}


def test_fresh_head_is_small_and_hardly_prefers_a_class():
    torch.manual_seed(0)
    network = Classifier(Backbone(name="resnet10t", weights="random", image_size=32), num_classes=100).eval()
    assert network.head.weight.shape == (100, 512)
    assert abs(network.head.weight.std().item() - 0.01) < 1e-4
    assert (network.head.bias == 0).all()
    probabilities = network(torch.randn(4, 3, 32, 32)).softmax(1)
    assert (probabilities - 0.01).abs().max() < 0.005


def test_forward_is_features_then_head():
    backbone = Backbone(name="resnet10t", weights="random", image_size=32, kwargs=TINY)
    network = Classifier(backbone, num_classes=3, head_dropout=0.5).eval()
    images = torch.randn(2, 3, 32, 32)
    features = network.features(images)
    assert features.shape == (2, backbone.num_features) == (2, 16)
    torch.testing.assert_close(network(images), features @ network.head.weight.T + network.head.bias)


def test_dropout_drops_features_in_training_alone():
    network = Classifier(
        Backbone(name="resnet10t", weights="random", image_size=32, kwargs=TINY),
        num_classes=1,
        head_dropout=0.5,
    )
    torch.nn.init.ones_(network.head.weight)
    features = torch.ones(1000, 16)
    network.train()
    sums = network.classify(features).squeeze(1)
    assert set(sums.tolist()) <= {2.0 * kept for kept in range(17)}  # kept ones count double
    assert abs(sums.mean().item() - 16) < 0.5
    network.eval()
    assert (network.classify(features) == 16).all()
