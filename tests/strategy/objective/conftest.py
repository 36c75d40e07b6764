"""A network and a batch of two domains, small enough to check by hand."""

from __future__ import annotations

import pytest
import torch

from tests.strategy.tiny import tiny_classifier
from transferlab.model.classifier import Classifier


@pytest.fixture
def network() -> Classifier:
    """Sixteen features, three classes, batch norm in every stage."""
    return tiny_classifier()


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    """Six labelled source images, ten target images: sizes differ, and there are no target labels."""
    generator = torch.Generator().manual_seed(2)
    return {
        "input": torch.randn(6, 3, 32, 32, generator=generator),
        "label": torch.arange(6) % 3,
        "target_input": torch.randn(10, 3, 32, 32, generator=generator) + 1,
    }


@pytest.fixture
def settled(network, batch) -> Classifier:
    """The same in evaluation mode, with running statistics of these images: predictions of all sorts."""
    network.train()
    with torch.no_grad():
        for _ in range(60):
            network(torch.cat([batch["input"], batch["target_input"]]))
    return network.eval()
