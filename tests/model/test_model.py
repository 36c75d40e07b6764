"""model.json and model.safetensors: the head can be built again from them alone."""

from __future__ import annotations

import json

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file

from tests.strategy.tiny import tiny_classifier
from transferlab.config.allowed import is_allowed
from transferlab.config.compose import compose_checked
from transferlab.training.build import make
from transferlab.training.record import save_model


@pytest.mark.parametrize(
    "chosen",
    [
        ["strategy/head=linear"],
        ["strategy/head=mlp", "strategy.head.hidden_units=7", "strategy.head.hidden_layers=2"],
        ["strategy/head=logistic", "strategy/unfreezing=none"],
    ],
)
def test_the_head_is_built_again(chosen, tmp_path):
    config = compose_checked(chosen).config.strategy.head
    network = tiny_classifier(head=make(config)).eval()
    save_model(network, ("a", "b", "c"), tmp_path, head=OmegaConf.to_container(config))

    about = json.loads((tmp_path / "model.json").read_text())
    assert is_allowed(about["head"]["_target_"])
    again = make(OmegaConf.create(about["head"])).build(about["num_features"], about["num_classes"])
    tensors = load_file(tmp_path / "model.safetensors")
    own = {n.removeprefix("head."): t for n, t in tensors.items() if n.startswith("head.")}
    again.load_state_dict(own)
    features_ND = torch.randn(5, about["num_features"])
    assert torch.equal(again.eval()(features_ND), network.classify(features_ND))
