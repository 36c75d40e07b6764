"""Every figure against scikit-learn and torchmetrics, and where they have none."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from sklearn import metrics as reference
from torchmetrics.functional import classification

from transferlab.evaluation.metrics import (
    METRICS,
    classification_metrics,
    confusion_matrix,
    per_class_metrics,
)


def predictions(samples: int, classes: int, *, seed: int, decimals: int | None = None) -> np.ndarray:
    """Probabilities, better than chance for labels `arange(samples) % classes`; rounded ones have ties."""
    scores = np.random.default_rng(seed).normal(size=(samples, classes))
    scores[np.arange(samples), np.arange(samples) % classes] += 1.0
    if decimals is not None:
        scores = scores.round(decimals)
    exponentials = np.exp(scores)
    return exponentials / exponentials.sum(1, keepdims=True)


def expected(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    predicted = probabilities.argmax(1)
    present = np.unique(labels)
    areas = [
        reference.roc_auc_score(labels == code, probabilities[:, code])
        for code in present
        if len(present) > 1
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a predicted class that is not among the labels
        balanced = reference.balanced_accuracy_score(labels, predicted)
    return {
        "accuracy": reference.accuracy_score(labels, predicted),
        "balanced_accuracy": balanced,
        "macro_f1": reference.f1_score(labels, predicted, average="macro", zero_division=0),
        "auroc": float(np.mean(areas)) if areas else None,
        "loss": reference.log_loss(labels, probabilities, labels=np.arange(probabilities.shape[1])),
    }


CASES = {
    "balanced": (predictions(200, 5, seed=0), np.arange(200) % 5),
    "two classes": (predictions(101, 2, seed=1), np.arange(101) % 2),
    "ties": (predictions(300, 3, seed=2, decimals=0), np.arange(300) % 3),
    "imbalanced": (
        predictions(120, 4, seed=3),
        np.minimum(np.random.default_rng(3).geometric(0.6, 120) - 1, 3),
    ),
    "a class is not among the labels": (predictions(90, 6, seed=4), np.arange(90) % 4),
    "one class only": (predictions(50, 3, seed=5), np.ones(50, dtype=int)),
    "one sample": (predictions(1, 3, seed=6), np.array([2])),
    "always wrong": (np.eye(3)[[1, 2, 0]] * 0.9 + 0.1 / 3, np.array([0, 1, 2])),
    "many classes": (predictions(400, 100, seed=7), np.arange(400) % 100),
}


@pytest.mark.parametrize("name", CASES)
def test_against_scikit_learn(name):
    probabilities, labels = CASES[name]
    found = classification_metrics(probabilities, labels)
    assert tuple(found) == METRICS
    for figure, value in expected(probabilities, labels).items():
        assert found[figure] == (value if value is None else pytest.approx(value, rel=1e-6)), figure


@pytest.mark.parametrize("name", CASES)
def test_against_torchmetrics(name):
    probabilities, labels = (torch.as_tensor(array) for array in CASES[name])
    num_classes = probabilities.shape[1]
    arguments = (probabilities, labels, num_classes)
    found = classification_metrics(*CASES[name])
    present = labels.bincount(minlength=num_classes) > 0
    recall_C = classification.multiclass_recall(*arguments, average=None)
    assert found["accuracy"] == pytest.approx(
        classification.multiclass_accuracy(*arguments, average="micro").item(), rel=1e-6
    )
    assert found["balanced_accuracy"] == pytest.approx(recall_C[present].mean().item(), rel=1e-6)
    assert found["macro_f1"] == pytest.approx(
        classification.multiclass_f1_score(*arguments, average="macro").item(), rel=1e-6
    )
    if found["auroc"] is not None:
        areas = [
            classification.binary_auroc(probabilities[:, code], (labels == code).long()).item()
            for code in torch.nonzero(present).flatten()
        ]
        assert found["auroc"] == pytest.approx(np.mean(areas), rel=1e-6)


def test_auroc_of_scikit_learn_over_all_classes():
    """Where every class occurs, it is scikit-learn's own one-against-rest mean."""
    probabilities, labels = CASES["balanced"]
    found = classification_metrics(probabilities, labels)["auroc"]
    assert found == pytest.approx(reference.roc_auc_score(labels, probabilities, multi_class="ovr"), rel=1e-6)


def test_all_alike_is_chance():
    found = classification_metrics(np.full((40, 4), 0.25), np.arange(40) % 4)
    assert found["auroc"] == pytest.approx(0.5)
    assert found["loss"] == pytest.approx(np.log(4))
    assert found["accuracy"] == found["balanced_accuracy"] == 0.25


def test_certain_and_wrong_is_finite():
    found = classification_metrics(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([1, 0]))
    assert found["loss"] == pytest.approx(-np.log(1e-45) / 2)


def test_without_samples():
    assert classification_metrics(np.zeros((0, 3)), np.zeros(0, dtype=int)) == dict.fromkeys(METRICS)
    assert confusion_matrix(np.zeros((0, 3)), np.zeros(0, dtype=int)).tolist() == [[0] * 3] * 3
    empty = per_class_metrics(np.zeros((0, 2)), np.zeros(0, dtype=int), ["a", "b"])
    assert empty["a"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}


@pytest.mark.parametrize("name", CASES)
def test_per_class(name):
    probabilities, labels = CASES[name]
    classes = [f"class {code}" for code in range(probabilities.shape[1])]
    found = per_class_metrics(probabilities, labels, classes)
    columns = reference.precision_recall_fscore_support(
        labels, probabilities.argmax(1), labels=np.arange(len(classes)), zero_division=0
    )
    assert list(found) == classes
    for code, figures in enumerate(found.values()):
        for key, column in zip(("precision", "recall", "f1", "support"), columns, strict=True):
            assert figures[key] == pytest.approx(column[code], rel=1e-6), (code, key)
        assert isinstance(figures["support"], int)


@pytest.mark.parametrize("name", CASES)
def test_confusion_matrix(name):
    probabilities, labels = CASES[name]
    found = confusion_matrix(probabilities, labels)
    wanted = reference.confusion_matrix(
        labels, probabilities.argmax(1), labels=np.arange(probabilities.shape[1])
    )
    assert np.array_equal(found, wanted)  # rows are true classes
