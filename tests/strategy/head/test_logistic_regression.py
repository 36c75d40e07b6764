"""Logistic regression against scikit-learn's optimum, and where there is nothing to compare with."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from torch.nn import functional

from transferlab.run.errors import UserError
from transferlab.strategy.head.logistic_problem import Problem
from transferlab.strategy.head.logistic_regression import LogisticFit, choose_strength, mean_loss


def fit_logistic(features_ND, labels_N, *, num_classes, l2, class_weights_C=None, **arguments) -> LogisticFit:
    """A fit at one strength, given as the absolute one, by way of stronger ones."""
    strength = l2 / Problem.of(features_ND, labels_N, num_classes, class_weights_C).variance
    path = [strength, *(s for s in 10.0 ** np.arange(-1, -14, -1) if s > 2 * strength)]
    arguments |= {"num_classes": num_classes, "class_weights_C": class_weights_C}
    return choose_strength((features_ND, labels_N), (features_ND, labels_N), path, **arguments).fit


def gaussian(num_samples: int, num_features: int, num_classes: int, seed: int = 0):
    """Well-conditioned features of overlapping classes."""
    draw = np.random.default_rng(seed)
    labels_N = np.arange(num_samples) % num_classes
    means_CD = 0.7 * draw.normal(size=(num_classes, num_features))
    return means_CD[labels_N] + draw.normal(size=(num_samples, num_features)), labels_N


def rectified(num_samples: int, num_features: int, num_classes: int, seed: int = 0):
    """As behind a ReLU: far from zero, of low rank but for noise, with scales of four magnitudes."""
    draw = np.random.default_rng(seed)
    inner_NK, labels_N = gaussian(num_samples, 8, num_classes, seed)
    mixed_ND = inner_NK @ draw.normal(size=(8, num_features)) + 0.1 * draw.normal(size=(num_samples, 1))
    scales_D = 10.0 ** draw.uniform(-2, 2, size=num_features)
    return np.maximum(mixed_ND + 2.0, 0) * scales_D, labels_N


def scikit_learns(features_ND, labels_N, l2, num_classes, class_weights_C=None):
    """Weights, biases, probabilities, by second-order steps; see the module for its `C`.

    The tolerance asks for as much as float64 has. Where the last bits of a processor's linear algebra do not
    allow it, the line search finds no lower loss and warns: the weights are then as good as they get.
    """
    total = len(labels_N) if class_weights_C is None else class_weights_C[labels_N].sum()
    per_class = None if class_weights_C is None else dict(enumerate(class_weights_C))
    inverse = (2 if num_classes == 2 else 1) / (l2 * total)
    model = LogisticRegression(C=inverse, class_weight=per_class, solver="newton-cg", tol=1e-9, max_iter=1000)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?i).*line search")
        model.fit(features_ND, labels_N)
    weight, bias = model.coef_, model.intercept_
    if num_classes == 2:  # one vector against two opposite ones
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return weight, bias, model.predict_proba(features_ND)


def loss_and_gradient(fit, features_ND, labels_N, l2, class_weights_C):
    """The formula as it stands in the module; the gradient's norm for features of mean 0 and variance 1."""
    weights_N = class_weights_C[labels_N] / class_weights_C[labels_N].sum()
    mean_D = weights_N @ features_ND
    scale = np.sqrt(weights_N @ np.square(features_ND - mean_D).sum(1))
    weight = torch.tensor(scale * fit.weight_CD, requires_grad=True)
    bias = torch.tensor(fit.bias_C + fit.weight_CD @ mean_D, requires_grad=True)
    scores = torch.tensor((features_ND - mean_D) / scale) @ weight.T + bias
    loss = functional.cross_entropy(scores, torch.tensor(labels_N), weight=torch.tensor(class_weights_C))
    loss = loss + l2 / scale**2 / 2 * weight.square().sum()
    loss.backward()
    threshold = l2 / scale**2 * weight.norm().item()
    return loss.item(), torch.hypot(weight.grad.norm(), bias.grad.norm()).item(), threshold


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("strength", [0.1, 1e-3, 1e-5])
@pytest.mark.parametrize("num_classes", [2, 3, 12])
@pytest.mark.parametrize("features", [gaussian, rectified])
def test_scikit_learns_optimum(features, num_classes, strength, weighted):
    features_ND, labels_N = features(240, 20, num_classes)
    l2 = strength * features_ND.var(0).sum()
    class_weights_C = np.linspace(0.5, 3, num_classes) if weighted else None
    fit = fit_logistic(
        features_ND, labels_N, num_classes=num_classes, l2=l2, class_weights_C=class_weights_C, tolerance=1e-5
    )
    assert fit.converged
    weight_CD, bias_C, probabilities_NC = scikit_learns(
        features_ND, labels_N, l2, num_classes, class_weights_C
    )
    np.testing.assert_allclose(fit.weight_CD, weight_CD, rtol=1e-4, atol=1e-4 * np.abs(weight_CD).max())
    np.testing.assert_allclose(softmax(fit.scores(features_ND), axis=1), probabilities_NC, atol=1e-4)
    np.testing.assert_allclose(
        fit.bias_C - fit.bias_C.mean(), bias_C - bias_C.mean(), rtol=1e-4, atol=1e-4 * np.abs(bias_C).max()
    )


def test_scikit_learns_optimum_with_more_dimensions_than_samples():
    features_ND, labels_N = rectified(40, 300, 4)
    fit = fit_logistic(features_ND, labels_N, num_classes=4, l2=0.1, tolerance=1e-6)
    weight_CD, _, probabilities_NC = scikit_learns(features_ND, labels_N, 0.1, 4)
    np.testing.assert_allclose(fit.weight_CD, weight_CD, rtol=1e-4, atol=1e-4 * np.abs(weight_CD).max())
    np.testing.assert_allclose(softmax(fit.scores(features_ND), axis=1), probabilities_NC, atol=1e-4)


@pytest.mark.parametrize("strength", [0.1, 1e-3, 1e-5])
def test_the_gradient_vanishes(strength):
    """In many badly conditioned dimensions too; `loss` and `converged` mean what they say."""
    features_ND, labels_N = rectified(600, 400, 5)
    l2 = strength * features_ND.var(0).sum()
    class_weights_C = np.array([0.5, 1.0, 1.0, 2.0, 3.0])
    fit = fit_logistic(features_ND, labels_N, num_classes=5, l2=l2, class_weights_C=class_weights_C)
    loss, gradient, threshold = loss_and_gradient(fit, features_ND, labels_N, l2, class_weights_C)
    assert fit.converged
    assert loss == pytest.approx(fit.loss, rel=1e-9)
    assert gradient <= 1e-4 * threshold


def test_an_offset_and_a_scale_of_the_features_change_nothing():
    features_ND, labels_N = gaussian(200, 10, 3)
    plain = fit_logistic(features_ND, labels_N, num_classes=3, l2=0.01, tolerance=1e-6)
    moved_ND = 1000.0 * (features_ND + 50.0)
    moved = fit_logistic(moved_ND, labels_N, num_classes=3, l2=0.01 * 1e6, tolerance=1e-6)
    np.testing.assert_allclose(1000.0 * moved.weight_CD, plain.weight_CD, atol=1e-5)
    np.testing.assert_allclose(moved.scores(moved_ND), plain.scores(features_ND), atol=1e-4)


def test_separable_classes():
    """Without a penalty the weights would grow without end."""
    features_ND = np.array([[-1.0], [1.0]])
    fit = fit_logistic(features_ND, [0, 1], num_classes=2, l2=1e-6, tolerance=1e-6)
    assert fit.converged
    # by symmetry W = (-v, v), b = 0, and log(1 + exp(-2 v)) + l2 v^2 is least: l2 v = sigmoid(-2 v)
    v = fit.weight_CD[1, 0]
    assert 1e-6 * v == pytest.approx(1 / (1 + np.exp(2 * v)), rel=1e-4)
    np.testing.assert_allclose(fit.weight_CD[0], -fit.weight_CD[1])
    np.testing.assert_allclose(fit.bias_C, 0, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 3.7, 1e6])
def test_constant_features_leave_the_class_frequencies(value):
    features_ND = np.full((10, 4), value)
    fit = fit_logistic(features_ND, [0] * 5 + [1] * 3 + [2] * 2, num_classes=3, l2=0.1)
    assert fit.converged
    assert (fit.weight_CD == 0).all()
    np.testing.assert_allclose(softmax(fit.bias_C), [0.5, 0.3, 0.2], atol=1e-6)


def test_a_constant_feature_among_others_gets_no_weight():
    features_ND, labels_N = gaussian(100, 5, 3)
    features_ND[:, 2] = 7.0
    fit = fit_logistic(features_ND, labels_N, num_classes=3, l2=0.01)
    np.testing.assert_allclose(fit.weight_CD[:, 2], 0, atol=1e-12)


def test_an_absent_class():
    """The others are fitted as if it did not exist; it is about as likely as one sample in N + 1."""
    features_ND, labels_N = gaussian(99, 5, 3)
    without = fit_logistic(features_ND, labels_N, num_classes=3, l2=0.01)
    codes = np.array([0, 2, 3])
    fit = fit_logistic(features_ND, codes[labels_N], num_classes=5, l2=0.01)
    np.testing.assert_allclose(fit.weight_CD[codes], without.weight_CD)
    np.testing.assert_allclose(fit.bias_C[codes], without.bias_C)
    assert (fit.weight_CD[[1, 4]] == 0).all()
    scores_NC = fit.scores(features_ND)
    odds_N = np.exp(scores_NC[:, 1]) / np.exp(scores_NC[:, codes]).sum(1)
    assert np.exp(np.log(odds_N).mean()) == pytest.approx(1 / 99)


def test_a_class_of_weight_zero_is_absent():
    features_ND, labels_N = gaussian(90, 5, 3)
    kept = labels_N != 1
    fit = fit_logistic(features_ND, labels_N, num_classes=3, l2=0.01, class_weights_C=[1.0, 0.0, 1.0])
    without = fit_logistic(features_ND[kept], labels_N[kept], num_classes=3, l2=0.01)
    np.testing.assert_allclose(fit.weight_CD, without.weight_CD)
    np.testing.assert_allclose(fit.bias_C, without.bias_C)


def test_a_single_class():
    features_ND, _ = gaussian(10, 5, 2)
    fit = fit_logistic(features_ND, np.ones(10, int), num_classes=2, l2=0.01)
    assert fit.converged
    np.testing.assert_allclose(softmax(fit.scores(features_ND), axis=1)[:, 1], 10 / 11)


def test_one_sample_of_each_class():
    features_ND, labels_N = gaussian(4, 1280, 4)
    fit = fit_logistic(features_ND, labels_N, num_classes=4, l2=1.0)
    assert fit.converged
    assert (fit.scores(features_ND).argmax(1) == labels_N).all()
    # the optimal weights are combinations of the centred samples
    centred_ND = features_ND - features_ND.mean(0)
    left = fit.weight_CD - fit.weight_CD @ np.linalg.pinv(centred_ND) @ centred_ND
    assert np.abs(left).max() < 1e-10


def test_cut_short_it_says_so():
    features_ND, labels_N = rectified(300, 50, 4)
    fit = fit_logistic(features_ND, labels_N, num_classes=4, l2=1e-3, max_iterations=2)
    assert not fit.converged


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite(value):
    features_ND, labels_N = gaussian(20, 3, 2)
    features_ND[3, 1] = value
    with pytest.raises(UserError, match="its features are not finite numbers"):
        fit_logistic(features_ND, labels_N, num_classes=2, l2=0.1)


def test_the_strength_of_the_lowest_validation_loss():
    train, val = gaussian(100, 30, 4), gaussian(100, 30, 4, seed=0)
    val = (val[0] + np.random.default_rng(1).normal(size=val[0].shape), val[1])
    strengths = [1e-6, 1e-3, 1.0, 1e-2, 1e-1, 1e-5, 1e-4]
    choice = choose_strength(train, val, strengths, num_classes=4, tolerance=1e-6)
    variance = train[0].var(0).sum()
    losses = {}
    for strength in strengths:
        fit = fit_logistic(*train, num_classes=4, l2=strength * variance, tolerance=1e-6)
        losses[strength] = functional.cross_entropy(
            torch.tensor(fit.scores(val[0])), torch.tensor(val[1])
        ).item()
    best = min(losses, key=losses.get)
    assert best not in (min(strengths), max(strengths))
    assert choice.best.strength == best
    tried = [step.strength for step in choice.path]
    assert tried == sorted(strengths, reverse=True)[: tried.index(best) + 3]  # two that were worse
    for step in choice.path:
        assert step.val_loss == pytest.approx(losses[step.strength], abs=1e-5)
        assert step.l2 == pytest.approx(step.strength * variance)
        assert step.converged
    assert mean_loss(choice.fit.scores(val[0]), val[1]) == choice.best.val_loss


def test_strengths_do_not_depend_on_the_scale_of_the_features():
    (features_ND, labels_N), (val_ND, val_N) = gaussian(100, 30, 4), gaussian(100, 30, 4, seed=0)
    strengths = [1.0, 0.1, 0.01, 1e-3]
    one = choose_strength((features_ND, labels_N), (val_ND, val_N), strengths, num_classes=4)
    other = choose_strength((9 * features_ND, labels_N), (9 * val_ND, val_N), strengths, num_classes=4)
    assert one.best.strength == other.best.strength
    np.testing.assert_allclose(one.fit.scores(val_ND), other.fit.scores(9 * val_ND), atol=1e-6)


def test_a_single_strength_needs_no_validation():
    train = gaussian(100, 5, 3)
    choice = choose_strength(train, None, [0.01], num_classes=3)
    assert choice.best.val_loss is None
    alone = fit_logistic(*train, num_classes=3, l2=choice.best.l2)
    np.testing.assert_allclose(choice.fit.weight_CD, alone.weight_CD, atol=1e-4)


def out_of_time_after(calls: int):
    """A clock that says so from that call on."""
    count = iter(range(10_000))
    return lambda: next(count) >= calls


def test_out_of_time_the_best_strength_so_far_is_taken():
    train, val = gaussian(100, 30, 4), gaussian(100, 30, 4, seed=0)
    strengths = [1.0, 0.1, 0.01, 1e-3]
    whole = choose_strength(train, val, strengths, num_classes=4)
    assert whole.left_out == []
    asked = [1 + tried.iterations for tried in whole.path[1:]]  # before each strength, after each iteration
    assert min(tried.iterations for tried in whole.path) > 1
    for calls, num_fitted in (
        (0, 1),  # the first strength is always fitted
        (1, 1),  # within the second one, which is thrown away
        (asked[0] - 1, 2),  # in its last iteration, which has converged
        (asked[0], 2),  # before the third one
        (asked[0] + 1, 2),
    ):
        cut = choose_strength(train, val, strengths, num_classes=4, out_of_time=out_of_time_after(calls))
        assert cut.path == whole.path[:num_fitted]
        assert cut.left_out == strengths[num_fitted:]
        best = min(cut.path, key=lambda tried: tried.val_loss)
        assert cut.best == best
        assert mean_loss(cut.fit.scores(val[0]), val[1]) == best.val_loss
