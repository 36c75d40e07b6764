"""An objective that reads images where activations stand in for them gets to know what to declare."""

from __future__ import annotations

import pytest
import torch

from tests.strategy.tiny import tiny_classifier
from transferlab.run.errors import UserError
from transferlab.strategy.parts import Losses, Objective
from transferlab.training.losses import losses_of


class Reads(Objective):
    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key

    def losses(self, network, batch, progress):
        return Losses({"loss": batch[self.key].sum()})


ACTIVATIONS = {"input": torch.ones(2, 4), "target_input": torch.ones(3, 4), "label": torch.zeros(2)}


@pytest.mark.parametrize("key", ["image", "target_image"])
def test_the_declaration_is_named(key):
    with pytest.raises(UserError, match=r"Reads reads batch\[") as raised:
        losses_of(Reads(key), tiny_classifier(), ACTIVATIONS, 0.0)
    assert "Fix: declare `needs_images: ClassVar[bool] = True`" in str(raised.value)
    assert key.replace("image", "input") in str(raised.value)


@pytest.mark.parametrize("key", ["target_images", "teacher"])
def test_other_keys_are_as_python_has_it(key):
    with pytest.raises(KeyError, match=key):
        losses_of(Reads(key), tiny_classifier(), ACTIVATIONS, 0.0)


def test_a_target_image_where_there_is_no_target():
    with pytest.raises(KeyError, match="target_image"):
        losses_of(Reads("target_image"), tiny_classifier(), {"input": torch.ones(2, 4)}, 0.0)


def test_losses_pass_through():
    losses = losses_of(Reads("input"), tiny_classifier(), ACTIVATIONS, 0.0)
    assert losses.terms["loss"].item() == 8.0
