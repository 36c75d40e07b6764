"""Gradient checkpointing changes memory and time, nothing else."""

from __future__ import annotations

import pytest
import torch

from transferlab.backbone.timm_network import timm_backbone
from transferlab.backbone.weights_file import WeightsError

CASES = {
    "resnet10t": {"channels": [8, 8, 16, 16], "stem_width": 8, "drop_path_rate": 0.3},
    "mobilenetv2_035": {},
    "densenet121": {"growth_rate": 4, "block_config": [1, 1, 1, 1]},
    "test_vit": {},
}


@pytest.mark.parametrize("name", CASES)
def test_same_output_gradients_and_statistics(name):
    plain, saving = (
        timm_backbone(
            name=name, weights="random", image_size=64, kwargs=CASES[name], gradient_checkpointing=switch
        )
        for switch in (False, True)
    )
    saving.load_state_dict(plain.state_dict())
    images = torch.randn(4, 3, 64, 64)
    outputs = []
    for backbone in (plain, saving):
        backbone.train()
        for step in range(2):
            torch.manual_seed(step)  # stochastic depth
            outputs.append(backbone(images))
            outputs[-1].square().sum().backward()
    assert torch.equal(outputs[0], outputs[2])
    assert torch.equal(outputs[1], outputs[3])
    for (parameter_name, one), other in zip(plain.named_parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, msg=parameter_name)
    for key, tensor in plain.state_dict().items():
        assert torch.equal(tensor, saving.state_dict()[key]), key  # running statistics too
    plain.eval(), saving.eval()
    assert torch.equal(plain(images), saving(images))


def test_saves_memory_of_activations():
    """Fewer tensors are kept for the backward pass."""

    def kept(switch: bool) -> int:
        backbone = timm_backbone(
            name="test_vit", weights="random", image_size=64, gradient_checkpointing=switch
        )
        sizes: list[int] = []

        def note(tensor: torch.Tensor) -> torch.Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            backbone.train()(torch.randn(2, 3, 64, 64))
        return sum(sizes)

    assert kept(True) < 0.5 * kept(False)


def test_not_offered():
    with pytest.raises(WeightsError, match="gradient_checkpointing=true: dla34 does not offer it"):
        timm_backbone(name="dla34", weights="random", image_size=32, gradient_checkpointing=True)
