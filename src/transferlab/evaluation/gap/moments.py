"""Distances between the means and covariances of two domains: Fréchet and CORAL."""

from __future__ import annotations

import numpy as np

ROWS_AT_ONCE = 4096


def frechet_distance(source_ND: np.ndarray, target_MD: np.ndarray) -> float:
    """Squared Fréchet distance of the Gaussians with the domains' means and covariances:
    `|μ_s - μ_t|² + tr(C_s + C_t - 2 (C_s C_t)^½)`.

    Dowson & Landau (1982); the formula of the FID (Heusel et al. 2017), on whatever features are given. At
    least 0, in squared units of the features. The estimate is too large by a part that falls as 1 / samples:
    two halves of one domain are not 0 apart.

    With covariances `A'A` and `B'B` the trace of the root is the sum of the singular values of `A B'`: no
    root of a matrix is taken, so that fewer samples than features do no harm.
    """
    source_mean, source_factor = mean_and_factor(source_ND)
    target_mean, target_factor = mean_and_factor(target_MD)
    shift = np.square(source_mean - target_mean).sum()
    traces = np.square(source_factor).sum() + np.square(target_factor).sum()
    root = np.linalg.svd(source_factor @ target_factor.T, compute_uv=False).sum()
    return max(0.0, float(shift + traces - 2.0 * root))


def coral_distance(source_ND: np.ndarray, target_MD: np.ndarray) -> float:
    """`|C_s - C_t|² / (4 D²)` with the Frobenius norm: the loss of Deep CORAL.

    Sun & Saenko (2016), Deep CORAL: Correlation Alignment for Deep Domain Adaptation, equation 1. At least 0,
    in fourth powers of the features' units; blind to a difference of the means.
    """
    _, source_factor = mean_and_factor(source_ND)
    _, target_factor = mean_and_factor(target_MD)
    difference = source_factor.T @ source_factor - target_factor.T @ target_factor
    return float(np.square(difference).sum() / (4.0 * source_ND.shape[1] ** 2))


def total_variance(source_ND: np.ndarray, target_MD: np.ndarray) -> float:
    """Trace of the covariance of an even mixture of both domains: the scale of the squared distances.

    >>> total_variance(np.array([[0.0], [2.0]]), np.array([[4.0], [6.0]]))
    6.0
    """
    source_mean, target_mean = source_ND.mean(0, dtype=np.float64), target_MD.mean(0, dtype=np.float64)
    within = (
        source_ND.var(0, dtype=np.float64, ddof=1).sum() + target_MD.var(0, dtype=np.float64, ddof=1).sum()
    )
    return float(within / 2.0 + np.square(source_mean - target_mean).sum() / 4.0)


def mean_and_factor(features_ND: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean `(D,)` and a factor R `(min(N, D), D)` of the unbiased covariance, C = R'R, in float64.

    R is that of a QR decomposition of the centred samples, some rows at a time, so that memory is bounded and
    the covariance, whose small eigenvalues have lost half their digits, is never formed.
    """
    mean_D = features_ND.mean(0, dtype=np.float64)
    factor = np.empty((0, features_ND.shape[1]))
    for start in range(0, len(features_ND), ROWS_AT_ONCE):
        rows = features_ND[start : start + ROWS_AT_ONCE] - mean_D
        # an array already, which numpy's types do not know
        factor = np.asarray(np.linalg.qr(np.concatenate([factor, rows]), mode="r"))
    return mean_D, factor / np.sqrt(len(features_ND) - 1)
