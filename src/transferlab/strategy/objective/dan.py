"""DAN: features whose distributions on both domains have the same mean in a space of many kernels.

Long et al., Learning transferable features with deep adaptation networks, ICML 2015: the multi-kernel
maximum mean discrepancy (MK-MMD) of source and target features. Gretton et al., A kernel two-sample test,
JMLR 13 (2012).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch

from transferlab.config.bounds import NotEmpty, PositiveFloat, Share
from transferlab.model.classifier import Classifier
from transferlab.strategy.objective.adaptation import Adaptation, Horizon, Steepness, Weight
from transferlab.strategy.objective.domains import full_precision, refuse_single
from transferlab.strategy.parts import Batch, Losses, Objective

_LEAST_BANDWIDTH = 1e-30  # for features that are all the same; its reciprocal is still finite


def squared_distances(points_PD: torch.Tensor) -> torch.Tensor:
    """`(P, P)` between all pairs; never below 0."""
    points_PD = points_PD - points_PD.mean(0)  # changes no distance, spares digits
    squares_P = points_PD.square().sum(1)
    return (squares_P[:, None] + squares_P[None, :] - 2 * points_PD @ points_PD.T).clamp_min(0)


def mean_squared_distance(distances_PP: torch.Tensor) -> torch.Tensor:
    """Over pairs of different points, without gradient: a bandwidth that follows the features' scale."""
    num_points = len(distances_PP)
    return distances_PP.detach().sum() / (num_points * (num_points - 1))


def multi_kernel(distances_PP: torch.Tensor, bandwidths: Sequence[torch.Tensor | float]) -> torch.Tensor:
    """The mean of Gaussian kernels exp(-d / (2 b)) of squared distances d, b being a squared bandwidth."""
    return torch.stack([(-distances_PP / (2 * b)).exp() for b in bandwidths]).mean(0)


def unbiased_mmd(kernel_PP: torch.Tensor, num_source: int) -> torch.Tensor:
    """The squared MMD between the first `num_source` points and the others, by Gretton et al., lemma 6.

    Unbiased: 0 on average for two samples of one distribution, so single values may be below 0.
    """
    source, target = kernel_PP[:num_source, :num_source], kernel_PP[num_source:, num_source:]
    across = kernel_PP[:num_source, num_source:]
    return _mean_of_pairs(source) + _mean_of_pairs(target) - 2 * across.mean()


def _mean_of_pairs(kernel_NN: torch.Tensor) -> torch.Tensor:
    """Over pairs of different points."""
    num = len(kernel_NN)
    return (kernel_NN.sum() - kernel_NN.diagonal().sum()) / (num * (num - 1))


class DAN(Objective):
    """Source cross-entropy plus lambda times the squared MK-MMD of the features.

    Choices that the paper leaves or that practice has moved: the kernels weigh the same (the paper learns
    their weights by a quadratic program; TLlib adds five up and weighs the sum by 1, hence the weight of 5
    for their mean); the quadratic unbiased estimate instead of the paper's linear one (of a mini-batch it
    costs nothing beside a forward pass and varies less); the mean squared distance as bandwidth (TLlib; the
    paper's median needs a sort) times each of `bandwidth_factors`; and the features alone are adapted, as
    there is one layer before the head.
    """

    uses_target: ClassVar[bool] = True
    adapts_features_only: ClassVar[bool] = True

    def __init__(
        self,
        *,
        weight: Weight = 5.0,
        steepness: Steepness = 10.0,
        horizon: Horizon = 1.0,
        bandwidth_factors: Annotated[Sequence[PositiveFloat], NotEmpty()] = (0.125, 0.25, 0.5, 1.0, 2.0),
        label_smoothing: Share = 0.0,
    ) -> None:
        super().__init__()
        self.adaptation = Adaptation(weight, steepness, horizon, label_smoothing)
        self.bandwidth_factors = tuple(bandwidth_factors)

    def losses(self, network: Classifier, batch: Batch, progress: float) -> Losses:
        """See `Objective`."""
        source_ND, target_MD = self.domains.features(network, batch)
        refuse_single(source_ND, target_MD, "the unbiased MMD")
        logits_NC = network.classify(source_ND)
        factor = self.adaptation.factor(progress)
        with full_precision(source_ND):
            distances = squared_distances(torch.cat([source_ND, target_MD]).float())
            scale = mean_squared_distance(distances).clamp_min(_LEAST_BANDWIDTH)
            kernel = multi_kernel(distances, [scale * times for times in self.bandwidth_factors])
            mmd = unbiased_mmd(kernel, len(source_ND))
        return self.adaptation.losses(logits_NC, batch, factor, {"mmd_loss": factor * mmd}, {"mmd": mmd})
