"""A user's own head: a class with `build`, allowed on the command line."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tests.strategy.tiny import tiny_classifier
from transferlab.config.compose import ConfigError, compose_checked
from transferlab.config.instantiation import make
from transferlab.strategy.learning_rates.schedule import LearningRates, parameter_groups
from transferlab.strategy.objective.cross_entropy import CrossEntropy

COSINE = """\
import torch
from torch import nn


class Directions(nn.Module):
    def __init__(self, num_features, num_classes, sharpness):
        super().__init__()
        self.directions = nn.Parameter(torch.randn(num_classes, num_features))
        self.log_sharpness = nn.Parameter(torch.tensor(sharpness).log())

    def forward(self, features):
        cosines = nn.functional.normalize(features) @ nn.functional.normalize(self.directions).T
        return cosines * self.log_sharpness.exp()


class Cosine:
    def __init__(self, *, sharpness: float = 10.0) -> None:
        self.sharpness = sharpness

    def build(self, num_features, num_classes):
        return Directions(num_features, num_classes, self.sharpness)
"""


def test_own_head(monkeypatch, tmp_path):
    (tmp_path / "my_heads.py").write_text(COSINE)
    folder = tmp_path / "conf" / "strategy" / "head"
    folder.mkdir(parents=True)
    (folder / "cosine.yaml").write_text("# angles\n_target_: my_heads.Cosine\nsharpness: 10.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"allow its module on the command line: allow=\[my_heads\]"):
        compose_checked(["strategy/head=cosine"])
    chosen = ["strategy/head=cosine", "strategy.head.sharpness=4.0", "allow=[my_heads]"]
    strategy = make(compose_checked(chosen).config.strategy)
    assert strategy.solver == "gradient"

    network = tiny_classifier(head=strategy.head)
    images = torch.randn(4, 3, 32, 32)
    features = network.features(images)
    expected = 4.0 * functional.cosine_similarity(features[:, None], network.head.directions[None], dim=2)
    torch.testing.assert_close(network(images), expected)
    groups = {
        group["name"]: group["params"]
        for group in parameter_groups(network, CrossEntropy(), LearningRates(weight_decay=0.1))
    }
    assert groups["head"][0] is network.head.directions
    assert groups["head/no_decay"][0] is network.head.log_sharpness
