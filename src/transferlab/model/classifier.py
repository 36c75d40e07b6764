"""Backbone, bottleneck and head together: images to class scores."""

from __future__ import annotations

import torch
from torch import nn

from transferlab.backbone.network import Backbone


class Classifier(nn.Module):
    """A backbone and a head, with a bottleneck between them where one is given.

    Args:
        backbone: images to features.
        head: features `(N, num_features)` to class scores `(N, num_classes)`.
        head_dropout: share of the features dropped in training, before the head.
        bottleneck: the backbone's features to those that the head and an adaptation see; None: the same.
    """

    def __init__(
        self,
        backbone: Backbone,
        head: nn.Module,
        *,
        head_dropout: float = 0.0,
        bottleneck: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.bottleneck = nn.Identity() if bottleneck is None else bottleneck
        self.dropout = nn.Dropout(head_dropout)
        self.head = head

    def forward(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        """Class scores (logits) `(N, num_classes)`."""
        return self.classify(self.features(images_NCHW))

    def features(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        """Features `(N, num_features)`: pooled, and through the bottleneck."""
        return self.bottleneck(self.backbone(images_NCHW))

    def classify(self, features_ND: torch.Tensor) -> torch.Tensor:
        """Class scores of features."""
        return self.head(self.dropout(features_ND))


def make_bottleneck(num_features: int, units: int) -> nn.Sequential:
    """A linear layer, a batch norm and a ReLU: `(N, num_features)` to `(N, units)`.

    As adaptation is commonly set up since Ganin & Lempitsky, Unsupervised domain adaptation by
    backpropagation, ICML 2015, who used 256 units: a critic or a kernel compares few features more easily.
    """
    return nn.Sequential(nn.Linear(num_features, units, bias=False), nn.BatchNorm1d(units), nn.ReLU())
