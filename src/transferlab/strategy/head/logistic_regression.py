"""Multinomial logistic regression on features, fitted to convergence.

Minimised is, over weights W (C, D) and biases b (C),

    sum_i s_i CE(softmax(W x_i + b), y_i) / sum_i s_i  +  l2 / 2 ||W||^2

by L-BFGS (Liu & Nocedal, Mathematical Programming 45, 1989), with s_i the weight of the sample's class (1
without class weights); biases are free. It is scikit-learn's `LogisticRegression(C=1 / (l2 * sum_i s_i))`.
With two classes, for which that has one vector of weights instead of two opposite ones, it is
`C=2 / (l2 * sum_i s_i)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from transferlab.strategy.head.logistic_problem import Floats, Problem

_WORSE_IN_A_ROW = 2  # strengths in a row that validate worse than the best before the path ends


@dataclass(frozen=True)
class LogisticFit:
    """Weights and biases, and how they were found.

    Attributes:
        weight_CD: zero for a class without samples.
        bias_C: those of classes with samples sum to 0; another one's gives it a probability of about
            1 / (N + 1) on the N samples.
        iterations: of L-BFGS.
        converged: whether the gradient's norm came below tolerance * l2 * ||W||. What is minimised is
            strongly convex in W, so W is then within about tolerance * ||W|| of the optimum.
        loss: what was minimised, penalty included.
    """

    weight_CD: Floats
    bias_C: Floats
    iterations: int
    converged: bool
    loss: float

    def scores(self, features_ND: ArrayLike) -> Floats:
        """Class scores (logits) `(N, C)`."""
        return np.asarray(features_ND, dtype=np.float64) @ self.weight_CD.T + self.bias_C


@dataclass(frozen=True)
class Tried:
    """A strength and what came of it; `val_loss` is None without validation samples."""

    strength: float
    l2: float
    val_loss: float | None
    iterations: int
    converged: bool


@dataclass(frozen=True)
class Choice:
    """The strength that validates best with its fit, and the path on which it was found."""

    fit: LogisticFit
    best: Tried
    path: list[Tried]
    left_out: list[float]  # strengths for which there was no time


def choose_strength(
    train: tuple[ArrayLike, ArrayLike],
    val: tuple[ArrayLike, ArrayLike] | None,
    strengths: Sequence[float],
    *,
    num_classes: int,
    class_weights_C: ArrayLike | None = None,
    tolerance: float = 1e-4,
    max_iterations: int = 1000,
    out_of_time: Callable[[], bool] = lambda: False,
) -> Choice:
    """Fit with one strength after the other, and choose that of the lowest validation loss.

    Strengths are relative, so that one list suits every network: l2 = strength * (mean squared distance of
    the training features from their mean), as if features had a variance of 1 in total. The path goes from
    strong to weak, each fit starts from the one before, and it ends when two in a row validate worse than
    the best. Out of time, it ends before the strength that has not converged yet; the first one is always
    fitted to its end.

    Args:
        train: features `(N, D)` and class codes `(N,)`.
        val: the same; its loss is the plain mean over samples. None only with a single strength.
        strengths: above 0, in any order.
        num_classes: how many scores there are.
        class_weights_C: weight of each class's training samples.
        tolerance: see `LogisticFit.converged`.
        max_iterations: at most, for each strength.
        out_of_time: asked before each strength but the first, and after each iteration of these.

    Raises:
        UserError: features that are not finite.
    """
    assert val is not None or len(strengths) == 1
    problem = Problem.of(*train, num_classes, class_weights_C)
    point_PK = problem.frequencies()
    path: list[Tried] = []
    fits: list[LogisticFit] = []
    best, ordered = 0, sorted(strengths, reverse=True)
    for place, strength in enumerate(ordered):
        if place and out_of_time():
            return Choice(fits[best], path[best], path, ordered[place:])
        end = problem.descend(
            strength,
            point_PK,
            tolerance=tolerance,
            max_iterations=max_iterations,
            out_of_time=out_of_time if place else lambda: False,
        )
        if place and not end.converged and end.iterations < max_iterations and out_of_time():
            return Choice(fits[best], path[best], path, ordered[place:])
        point_PK = end.point_PK
        fits.append(
            LogisticFit(*problem.weights_and_biases(point_PK), end.iterations, end.converged, end.loss)
        )
        val_loss = None if val is None else mean_loss(fits[-1].scores(val[0]), val[1])
        path.append(Tried(strength, strength * problem.variance, val_loss, end.iterations, end.converged))
        losses = [tried.val_loss for tried in path if tried.val_loss is not None]
        best = losses.index(min(losses)) if losses else 0
        if place - best == _WORSE_IN_A_ROW:
            break
    return Choice(fits[best], path[best], path, [])


def mean_loss(scores_NC: Floats, labels_N: ArrayLike) -> float:
    """Mean cross-entropy of class scores, in nats."""
    labels = np.asarray(labels_N)
    return float(np.mean(logsumexp(scores_NC, axis=1) - scores_NC[np.arange(len(labels)), labels]))
