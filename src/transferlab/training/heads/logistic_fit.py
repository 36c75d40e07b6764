"""Fit a head that learns without gradient steps, on features that were computed once."""

from __future__ import annotations

import time
from typing import Any

from torch.nn import functional

from transferlab.evaluation.metrics import classification_metrics
from transferlab.strategy.head.logistic import Logistic
from transferlab.strategy.objective.cross_entropy import CrossEntropy
from transferlab.training.build import Experiment
from transferlab.training.heads.head_job import HeadFit, LabelledFeatures
from transferlab.training.recorder import Recorder


def fit_logistic_head(
    recorder: Recorder, experiment: Experiment, train: LabelledFeatures, val: LabelledFeatures | None
) -> tuple[HeadFit, dict[str, Any]]:
    """The fitted head, as if after one epoch, and how its strength was chosen.

    Raises:
        UserError: features that are not finite, or no validation samples to choose by.
    """
    started = time.perf_counter()
    head, objective = experiment.strategy.head, experiment.strategy.objective
    assert isinstance(head, Logistic)
    assert isinstance(objective, CrossEntropy)  # others are refused with the config
    fitted = head.fit(
        (train.features_ND, train.labels_N),
        None if val is None else (val.features_ND, val.labels_N),
        num_classes=experiment.batches.splits.num_classes,
        class_weights_C=objective.weights_C,
    )
    recorder.note(*fitted.notices)
    weight_CD, bias_C = fitted.state["weight"], fitted.state["bias"]
    scores_NC = functional.linear(train.features_ND, weight_CD, bias_C)
    loss = functional.cross_entropy(scores_NC.double(), train.labels_N)
    entry = {
        "epoch": 0.0,
        "trainable_stages": 0.0,
        "train/loss": loss.item(),
        "train/accuracy": (scores_NC.argmax(1) == train.labels_N).double().mean().item(),
    }
    if val is not None:
        probabilities_NC = functional.linear(val.features_ND, weight_CD, bias_C).double().softmax(1)
        figures = classification_metrics(probabilities_NC.numpy(), val.labels_N.numpy())
        entry |= {f"val/{name}": value for name, value in figures.items() if value is not None}
    entry["seconds"] = time.perf_counter() - started
    return HeadFit([entry], fitted.state, 0), {"head": fitted.record}
