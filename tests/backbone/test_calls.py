"""The calls of a network's modules: their order, who contains whom, and what is one for each image."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from transferlab.backbone.calls import prefixes, recorded
from transferlab.backbone.cut import Placeholder

IMAGES_NCHW = torch.zeros(2, 3, 4, 4)


class Twice(nn.Module):
    """Calls one module twice and a part of another one directly."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU())
        self.act = nn.ReLU()
        self.windows = nn.Unflatten(0, (1, 2))
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(24, 5))

    def forward(self, images_NCHW: Tensor) -> Tensor:
        maps = self.act(self.block(images_NCHW))
        self.windows(maps)
        return self.head[1](self.act(self.head[0](maps)))


def test_recorded():
    network = Twice()
    calls, features_ND = recorded(network, IMAGES_NCHW)
    assert torch.equal(features_ND, network(IMAGES_NCHW))
    assert [call.module for call in calls] == [
        *("block.0", "block.1", "block"),
        *("act", "windows", "head.0", "act", "head.1"),
    ]
    inner, _, block, *_ = calls
    assert block.began < inner.began < inner.ended < block.ended
    assert block.output == Placeholder((6, 2, 2), torch.float32)
    assert [call.module for call in calls if not call.is_per_image] == ["windows"]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        # the activation is called again: it is left out each time, but nothing can end there
        (["head.1.weight"], [["block", "act", "head.0"], ["block"]]),
        (["block.0.weight"], []),
        (["block.1.unknown"], [["block.0"]]),
        (["head.unknown", "head.1.bias"], [["block", "act", "head.0"], ["block"]]),
        # of modules that are not called themselves
        (["head.1.inner.weight"], [["block", "act", "head.0"], ["block"]]),
        (["unknown"], []),
    ],
)
def test_prefixes(parameters, expected):
    calls, _ = recorded(Twice(), IMAGES_NCHW)
    found = [[call.module for call in prefix] for prefix in prefixes(calls, parameters)]
    assert found == expected
