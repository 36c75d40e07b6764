"""Backbone and head together: images to class scores."""

from __future__ import annotations

import torch
from torch import nn

from transferlab.backbone.network import Backbone


class Classifier(nn.Module):
    """A backbone and a head.

    Args:
        backbone: images to features.
        head: features `(N, num_features)` to class scores `(N, num_classes)`.
        head_dropout: share of the features dropped in training, before the head.
    """

    def __init__(self, backbone: Backbone, head: nn.Module, *, head_dropout: float = 0.0) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(head_dropout)
        self.head = head

    def forward(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        """Class scores (logits) `(N, num_classes)`."""
        return self.classify(self.features(images_NCHW))

    def features(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        """Pooled features `(N, num_features)`."""
        return self.backbone(images_NCHW)

    def classify(self, features_ND: torch.Tensor) -> torch.Tensor:
        """Class scores of features."""
        return self.head(self.dropout(features_ND))
