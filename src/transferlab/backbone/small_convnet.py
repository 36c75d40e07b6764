"""The small network of MNIST → MNIST-M, for 28 px, under the name `mnist_convnet`.

Ganin et al., Domain-adversarial training of neural networks, JMLR 17 (2016), figure 4 (a). timm has nothing
as small; registered there, it is chosen, frozen and saved like any of timm's own. The backbone ends where the
paper's critic begins, at 768 features. The paper's two hidden layers of 100 units are the head:
`strategy/head=mlp` with `hidden_layers: 2, hidden_units: 100`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs
from torch import nn


class SmallConvNet(nn.Module):
    """A stage for each of `channels`: convolution 5x5 without padding, ReLU, maximum of 2x2.

    `batch_norm` puts one behind each convolution; the paper has none.
    """

    def __init__(
        self,
        *,
        channels: Sequence[int] = (32, 48),
        batch_norm: bool = False,
        in_chans: int = 3,
        num_classes: int = 0,
    ) -> None:
        super().__init__()
        assert num_classes == 0, "the classifier is the head"
        self.num_classes = num_classes
        widths = [in_chans, *channels]
        self.stages = nn.Sequential(
            *(_stage(*pair, batch_norm=batch_norm) for pair in zip(widths, channels, strict=False))
        )

    def forward(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        """Features `(N, channels[-1] * h * w)`: 48 * 4 * 4 = 768 of 28 px, 1,200 of 32 px."""
        return self.forward_head(self.forward_features(images_NCHW))

    def forward_features(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        """The last stage's maps `(N, channels[-1], h, w)`."""
        return self.stages(images_NCHW)

    def forward_head(self, maps_NCHW: torch.Tensor) -> torch.Tensor:
        """The maps, flattened: where a stroke is matters, so nothing is averaged."""
        return maps_NCHW.flatten(1)

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """The depth of each parameter, for timm."""
        return {"blocks": r"^stages\.(\d+)"}


def _stage(num_inputs: int, num_outputs: int, *, batch_norm: bool) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict(conv=nn.Conv2d(num_inputs, num_outputs, 5))
    if batch_norm:
        layers["norm"] = nn.BatchNorm2d(num_outputs)
    layers |= {"activation": nn.ReLU(), "pool": nn.MaxPool2d(2)}
    return nn.Sequential(layers)


# what `register_model` looks for by this name: how images are prepared; no weights are published
default_cfgs = generate_default_cfgs(
    {
        "mnist_convnet": {
            "input_size": (3, 28, 28),
            "num_classes": 0,
            "mean": (0.5, 0.5, 0.5),
            "std": (0.5, 0.5, 0.5),
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "first_conv": "stages.0.conv",
            "classifier": "",
        }
    }
)


def mnist_convnet(pretrained: bool = False, **kwargs: Any) -> SmallConvNet:
    """Two stages of 32 and 48 channels: 40,880 parameters (Ganin et al. 2016)."""
    return build_model_with_cfg(SmallConvNet, "mnist_convnet", pretrained, **kwargs)
