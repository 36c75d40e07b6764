"""Logistic regression in coordinates that are quick to descend in, without moving its optimum.

Features are centred (the free biases take it up), divided by one common scale (the penalty's strength takes
it up), reduced to the space that they span where samples are fewer than dimensions (outside it the optimal
weights are zero), and the descent itself is whitened by the Hessian's mean over the classes at its start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve_triangular
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from transferlab.run.errors import UserError

Floats = NDArray[np.float64]

_ROUND_OFF = 1e-12  # a gradient's norm, or a distance relative to the features, that is zero in float64
_WHITENING_ROWS = 4  # samples for each coordinate that the Hessian is estimated from, at most
_LEAST_CURVATURE = 1e-3  # of a sample, relative to the mean


@dataclass(frozen=True)
class Descent:
    """Where a descent ended: weights and biases `(P, K)` in the coordinates of its problem."""

    point_PK: Floats
    iterations: int
    converged: bool
    loss: float


@dataclass(frozen=True)
class Problem:
    """Samples in the new coordinates."""

    inputs_NK: Floats  # features of variance 1 in total, with a last column of ones for the biases
    labels_N: NDArray[np.int64]  # codes among the classes that have samples
    weights_N: Floats  # of the samples, 1 in total
    present_P: NDArray[np.int64]  # the classes that have samples
    num_classes: int  # how many there are with the absent ones
    mean_D: Floats  # of the features, weighted
    # weighted mean squared distance of the features from their mean; 1 where they are constant
    variance: float
    basis_DR: Floats | None  # orthonormal columns that the features span; None: they were not reduced

    @classmethod
    def of(
        cls, features_ND: ArrayLike, labels_N: ArrayLike, num_classes: int, class_weights_C: ArrayLike | None
    ) -> Problem:
        """The problem of these samples; those of classes with weight 0 are left out.

        Raises:
            UserError: features that are not finite.
        """
        features = np.asarray(features_ND, dtype=np.float64)
        labels = np.asarray(labels_N, dtype=np.int64)
        if not np.isfinite(features).all():
            raise UserError(
                "backbone: its features are not finite numbers. If it computes in half precision, "
                "use trainer.precision=32-true."
            )
        if class_weights_C is not None:
            weights = np.asarray(class_weights_C, dtype=np.float64)[labels]
            features, labels, weights = features[weights > 0], labels[weights > 0], weights[weights > 0]
        else:
            weights = np.ones(len(labels))
        weights = weights / weights.sum()
        present = np.unique(labels)
        mean = weights @ features
        centred = features - mean
        variance = float(weights @ np.einsum("nd,nd->n", centred, centred))
        if variance <= _ROUND_OFF**2 * (variance + mean @ mean):
            centred, variance = np.zeros_like(centred), 1.0
        basis = None
        if centred.shape[0] < centred.shape[1]:
            basis, triangle = np.linalg.qr(centred.T)
            centred = triangle.T
        inputs = np.ones((centred.shape[0], centred.shape[1] + 1))
        np.divide(centred, np.sqrt(variance), out=inputs[:, :-1])
        codes = np.searchsorted(present, labels)
        return cls(inputs, codes, weights, present, num_classes, mean, variance, basis)

    def frequencies(self) -> Floats:
        """Weights of zero, and the biases that are optimal with these: each class's share, in logarithms."""
        point_PK = np.zeros((len(self.present_P), self.inputs_NK.shape[1]))
        logarithms_P = np.log(np.bincount(self.labels_N, self.weights_N))
        point_PK[:, -1] = logarithms_P - logarithms_P.mean()
        return point_PK

    def weights_and_biases(self, point_PK: Floats) -> tuple[Floats, Floats]:
        """Those of the original features and all classes, `(C, D)` and `(C,)`."""
        weight_PR, bias_P = point_PK[:, :-1] / np.sqrt(self.variance), point_PK[:, -1]
        weight_PD = weight_PR if self.basis_DR is None else weight_PR @ self.basis_DR.T
        weight_CD = np.zeros((self.num_classes, len(self.mean_D)))
        weight_CD[self.present_P] = weight_PD
        totals_N = logsumexp(self.inputs_NK @ point_PK.T, axis=1)
        bias_C = np.full(self.num_classes, self.weights_N @ totals_N - np.log(len(totals_N)))
        bias_C[self.present_P] = bias_P - weight_PD @ self.mean_D
        return weight_CD, bias_C

    def descend(
        self,
        l2: float,
        start_PK: Floats,
        *,
        tolerance: float,
        max_iterations: int,
        out_of_time: Callable[[], bool],
    ) -> Descent:
        """Minimise by L-BFGS with penalty `l2` of these coordinates' weights, from `start_PK`.

        Converged is where the gradient's norm is at most tolerance * l2 * ||weights||. `out_of_time` is asked
        after each iteration, and its True ends the descent where it is.
        """
        penalty_K = np.full(self.inputs_NK.shape[1], l2)
        penalty_K[-1] = 0.0
        loss, gradient_PK = self._loss_and_gradient(start_PK, penalty_K)
        if _is_flat(gradient_PK, start_PK, l2, tolerance):
            return Descent(start_PK, 0, True, loss)
        factor_KK, inverse_KK = self._whitening(start_PK, penalty_K)
        arrived, iterations = False, 0

        def loss_and_gradient(flat: Floats) -> tuple[float, Floats]:
            nonlocal arrived
            point_PK = flat.reshape(start_PK.shape) @ inverse_KK
            loss, gradient_PK = self._loss_and_gradient(point_PK, penalty_K)
            arrived = _is_flat(gradient_PK, point_PK, l2, tolerance)
            return loss, (gradient_PK @ inverse_KK.T).ravel()

        def after_iteration(flat: Floats) -> None:
            nonlocal iterations
            iterations += 1
            # `arrived` as of the last evaluation, which is the one that the line search accepted
            if arrived or out_of_time():
                raise StopIteration

        found = minimize(
            loss_and_gradient,
            (start_PK @ factor_KK).ravel(),
            jac=True,
            method="L-BFGS-B",
            callback=after_iteration,
            options={"maxiter": max_iterations, "maxfun": 10 * max_iterations, "ftol": 0.0, "gtol": 0.0},
        )
        point_PK = found.x.reshape(start_PK.shape) @ inverse_KK
        loss, gradient_PK = self._loss_and_gradient(point_PK, penalty_K)
        return Descent(point_PK, iterations, _is_flat(gradient_PK, point_PK, l2, tolerance), loss)

    def _loss_and_gradient(self, point_PK: Floats, penalty_K: Floats) -> tuple[float, Floats]:
        rows = np.arange(len(self.labels_N))
        scores_NP = self.inputs_NK @ point_PK.T
        scores_NP -= scores_NP.max(1, keepdims=True)
        own_N = scores_NP[rows, self.labels_N]
        residual_NP = np.exp(scores_NP, out=scores_NP)
        totals_N = residual_NP.sum(1)
        loss = self.weights_N @ (np.log(totals_N) - own_N) + 0.5 * np.sum(penalty_K * np.square(point_PK))
        residual_NP /= totals_N[:, None]
        residual_NP[rows, self.labels_N] -= 1.0
        residual_NP *= self.weights_N[:, None]
        return float(loss), residual_NP.T @ self.inputs_NK + penalty_K * point_PK

    def _whitening(self, point_PK: Floats, penalty_K: Floats) -> tuple[Floats, Floats]:
        """The Cholesky factor `(K, K)` of the Hessian's mean over the classes, and its inverse."""
        step = max(1, len(self.inputs_NK) // (_WHITENING_ROWS * len(penalty_K)))
        inputs_MK, weights_M = self.inputs_NK[::step], self.weights_N[::step]
        probabilities_MP = softmax(inputs_MK @ point_PK.T, axis=1)
        curvature_M = (1.0 - np.square(probabilities_MP).sum(1)) / probabilities_MP.shape[1]
        curvature_M = np.maximum(curvature_M, _LEAST_CURVATURE * curvature_M.mean() + _ROUND_OFF)
        rooted_MK = inputs_MK * np.sqrt(curvature_M * weights_M / weights_M.sum())[:, None]
        hessian_KK = rooted_MK.T @ rooted_MK + np.diag(penalty_K + _ROUND_OFF)
        factor_KK = np.linalg.cholesky(hessian_KK)
        identity_KK = np.eye(len(penalty_K))
        return factor_KK, solve_triangular(factor_KK, identity_KK, lower=True, overwrite_b=True)


def _is_flat(gradient_PK: Floats, point_PK: Floats, l2: float, tolerance: float) -> bool:
    threshold = tolerance * l2 * float(np.linalg.norm(point_PK[:, :-1]))
    return float(np.linalg.norm(gradient_PK)) <= threshold + _ROUND_OFF
