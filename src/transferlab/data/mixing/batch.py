"""Mixup and CutMix, per batch on its device, from torchvision v2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from transferlab.config.bounds import NonNegativeFloat
from transferlab.data.loading.dataset import seeded

if TYPE_CHECKING:
    from torchvision.transforms import v2


@dataclass(frozen=True, kw_only=True)
class Mixing:
    """Mixes each image of a batch with its neighbour; labels become probabilities of classes.

    Zhang et al. (2018), mixup: Beyond Empirical Risk Minimization; Yun et al. (2019), CutMix.

    `conf/data/mixing/none.yaml` describes the arguments. With both, each batch gets one of them at
    random.
    """

    mixup_alpha: NonNegativeFloat = 0.0
    cutmix_alpha: NonNegativeFloat = 0.0

    @property
    def is_active(self) -> bool:
        return self.mixup_alpha > 0 or self.cutmix_alpha > 0

    def mixed(
        self, images_NCHW: Tensor, labels_N: Tensor, *, num_classes: int, seed: int
    ) -> tuple[Tensor, Tensor]:
        """Float images of the same shape and probabilities, shape (N, num_classes); a function of `seed`."""
        from torchvision.transforms import v2

        choices: list[v2.MixUp | v2.CutMix] = []
        if self.mixup_alpha > 0:
            choices.append(v2.MixUp(alpha=self.mixup_alpha, num_classes=num_classes))
        if self.cutmix_alpha > 0:
            choices.append(v2.CutMix(alpha=self.cutmix_alpha, num_classes=num_classes))
        with seeded(seed):
            chosen = choices[int(torch.randint(len(choices), ()))]
            return chosen(images_NCHW, labels_N)
