"""The backbone: a network without its classifier, and what everything else needs to know of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import nn

from transferlab.backbone.checkpointing import checkpoint_gradients
from transferlab.backbone.cut import Boundary, run_rest
from transferlab.backbone.stages import Stage, ordered_stages
from transferlab.backbone.weights import WeightsError
from transferlab.config.instantiation import described


class Backbone(nn.Module):
    """Images to features, as ordered stages; `timm_backbone` and `own_backbone` make one.

    Args:
        network: normalised images `(N, 3, S, S)` to features `(N, D)`.
        name: timm's name of the architecture, or the dotted path of the user's class or function.
        kwargs: the arguments that it was built with.
        weights: where the weights are from, as the config says it.
        preprocessing: the arguments of `Preprocessing`.
        gradient_checkpointing: recompute activations in the backward pass to save memory.
        source: a hash of the code of a user's own network; None: a network of timm.

    Raises:
        WeightsError: a network that does not give features of such images.
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
        source: str | None = None,
    ) -> None:
        super().__init__()
        self.network, self.name, self.kwargs, self.weights = network, name, kwargs, weights
        self.preprocessing, self.source = preprocessing, source
        self.gradient_checkpointing = gradient_checkpointing
        self.starts_at: Boundary | None = None  # where `forward` begins; None: with images
        self.memory_format: Literal["channels_last"] | None = None  # of the convolutions; None: torch's own
        if gradient_checkpointing:
            self._checkpoint_gradients()
        self.num_features = self._count_features()
        self.stages: tuple[Stage, ...] = ordered_stages(network)

    @property
    def origin(self) -> dict[str, Any]:
        """The part of a model.json from which the network is built again."""
        if self.source is not None:
            return {"network": {"_target_": self.name, **self.kwargs}}
        return {"architecture": self.name, "model_kwargs": self.kwargs}

    def forward(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        """Pooled features `(N, num_features)` of normalised images `(N, 3, H, W)`.

        With `starts_at` it takes activations `(N, *starts_at.shape)` at that boundary instead of images.
        """
        if self.starts_at is not None:
            return run_rest(self.network, self.starts_at, images_NCHW)
        return self.network(images_NCHW)

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
        side, is_own = self.preprocessing["image_size"], self.source is not None
        what = f"backbone.{'network' if is_own else 'name'}={self.name}"
        if self.kwargs:
            what += f" with {self.kwargs}" if is_own else f" with backbone.kwargs={self.kwargs}"
        try:
            with torch.no_grad():
                features = self.network(torch.zeros(1, 3, side, side))
        except Exception as error:  # each network complains in its own way
            raise WeightsError(
                f"{what} cannot take images of {side} px ({described(error, self.name if is_own else '')}). "
                f"Fix: set {'backbone' if is_own else 'data'}.image_size to a size that it takes."
            ) from error
        self.network.train(was_training)
        if not isinstance(features, torch.Tensor) or features.ndim != 2 or len(features) != 1:
            given = list(features.shape) if isinstance(features, torch.Tensor) else type(features).__name__
            fix = (
                "end it with nn.AdaptiveAvgPool2d(1) and nn.Flatten()"
                if is_own
                else "leave out global_pool, features_only and the like"
            )
            raise WeightsError(
                f"{what} does not give one vector of features per image: for images of shape "
                f"{[1, 3, side, side]} it gives {given}, not [1, D]. Fix: {fix}."
            )
        return int(features.shape[1])
