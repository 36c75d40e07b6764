"""The backbone: a network without its classifier, as ordered stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import nn

from transferlab.backbone.boundary import Boundary, run_rest
from transferlab.backbone.checkpointing import checkpoint_gradients
from transferlab.backbone.stages import Stage, ordered_stages
from transferlab.backbone.weights_file import WeightsError
from transferlab.config.instantiation import described


class Backbone(nn.Module):
    """Images to features, as ordered stages; `timm_backbone` and `own_backbone` make one.

    Args:
        network: normalised images `(N, 3, S, S)` to features `(N, D)`.
        name: timm's name of the architecture, or the dotted path of the user's class or function.
        kwargs: the arguments that it was built with.
        weights: the config's value.
        preprocessing: the arguments of `Preprocessing`.
        gradient_checkpointing: recompute activations in the backward pass to save memory.
        code: a hash of the code of a user's own network; None: a network of timm.
        notes: what the user should know of the weights.

    Raises:
        WeightsError: it does not give features of such images.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        name: str,
        kwargs: Mapping[str, Any],
        weights: str,
        preprocessing: dict[str, Any],
        gradient_checkpointing: bool = False,
        code: str | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self.network, self.name, self.kwargs, self.weights = network, name, kwargs, weights
        self.preprocessing, self.code, self.notes = preprocessing, code, notes
        self.gradient_checkpointing = gradient_checkpointing
        self.boundary: Boundary | None = None  # where `forward` begins; None: with images
        self.memory_format: Literal["channels_last"] | None = None  # of the convolutions; None: torch's own
        if gradient_checkpointing:
            self._checkpoint_gradients()
        self.num_features = self._count_features()
        self.stages: tuple[Stage, ...] = ordered_stages(network)

    @property
    def image_sides(self) -> tuple[int, int]:
        """Height and width in pixels of the images that it takes."""
        size = self.preprocessing["image_size"]
        return (size, size) if isinstance(size, int) else size

    def forward(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        """Pooled features `(N, num_features)` of normalised images `(N, 3, H, W)`.

        With `boundary` it takes activations `(N, *boundary.shape)` there instead of images.
        """
        if self.boundary is not None:
            return run_rest(self.network, self.boundary, images_NCHW)
        return self.network(images_NCHW)

    @property
    def has_depthwise(self) -> bool:
        """True if it has depthwise convolutions, which are faster in `channels_last`."""
        return any(
            isinstance(module, nn.Conv2d) and 1 < module.groups == module.in_channels
            for module in self.network.modules()
        )

    def use_channels_last(self) -> None:
        """Store the convolutions' weights in torch's memory format `channels_last`."""
        self.network.to(memory_format=torch.channels_last)
        self.memory_format = "channels_last"

    def _checkpoint_gradients(self) -> None:
        try:
            checkpoint_gradients(self.network)
        except (AttributeError, AssertionError) as error:
            raise WeightsError(
                f"backbone.gradient_checkpointing=true: {self.name} does not offer it. Set it to false."
            ) from error

    def _count_features(self) -> int:
        was_training = self.network.training
        self.network.eval()
        sides, owner = self.image_sides, self.name if self.code else ""
        what = f"backbone.{'network' if owner else 'name'}={self.name}"
        what += f" with {'' if owner else 'backbone.kwargs='}{self.kwargs}" if self.kwargs else ""
        try:
            with torch.no_grad():
                features = self.network(torch.zeros(1, 3, *sides))
        except Exception as error:  # each network complains in its own way
            raise WeightsError(
                f"{what} cannot take images of {shown_px(sides)} px ({described(error, owner)}). "
                f"Fix: set {'backbone' if owner else 'data'}.image_size to a size that it takes."
            ) from error
        self.network.train(was_training)
        if not isinstance(features, torch.Tensor) or features.ndim != 2 or len(features) != 1:
            found = list(features.shape) if isinstance(features, torch.Tensor) else type(features).__name__
            fix = (
                "nn.AdaptiveAvgPool2d(1), nn.Flatten() at its end" if owner else "leave out global_pool etc."
            )
            raise WeightsError(
                f"{what} does not give one vector of features per image, but {found} for "
                f"{[1, 3, *sides]}. Fix: {fix}"
            )
        return int(features.shape[1])


def shown_px(sides: tuple[int, int]) -> str:
    """Height and width for a message.

    >>> shown_px((224, 224)), shown_px((1024, 768))
    ('224', '1024x768')
    """
    height, width = sides
    return str(height) if height == width else f"{height}x{width}"
