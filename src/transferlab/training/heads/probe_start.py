"""The head's start by a linear probe: the LP of LP-FT.

Kumar, Raghunathan, Jones, Ma & Liang, Fine-tuning can distort pretrained features and underperform
out-of-distribution, ICLR 2022: gradients of a fresh head distort what the backbone has learned; those of a
fitted one hardly do.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from transferlab.run.errors import UserError
from transferlab.strategy.head.logistic import Logistic
from transferlab.strategy.objective.cross_entropy import CrossEntropy
from transferlab.training.build import Experiment
from transferlab.training.heads.head_fit import features_of, labelled
from transferlab.training.recorder import Recorder

_WITHOUT_VALIDATION = 0.01  # the strength where there is nothing to choose one by


def starts_by_probe(experiment: Experiment) -> bool:
    """True if the head is fitted before the training: it goes on from no other head."""
    return experiment.start is None and experiment.strategy.head_start == "logistic"


def start_by_probe(experiment: Experiment, recorder: Recorder) -> None:
    """Fit the linear head by logistic regression on the frozen features of the images as they are.

    Raises:
        UserError: a head that is no linear layer, or features that are not finite.
    """
    strategy, batches = experiment.strategy, experiment.batches
    if type(experiment.network.head) is not nn.Linear:
        raise UserError(
            f"strategy.head_start=logistic: fits a linear layer, and {type(strategy.head).__name__} makes "
            f"a {type(experiment.network.head).__name__}. Fix: strategy.head_start=fresh."
        )
    plain = replace(experiment, batches=batches.with_plain_images())
    stored = features_of(plain, ["train", "val"])
    train = labelled(stored, plain.batches, "train")
    val = labelled(stored, plain.batches, "val") if "val" in stored else None
    objective = strategy.objective
    probe = Logistic() if val is not None else Logistic(strengths=[_WITHOUT_VALIDATION])
    fitted = probe.fit(
        (train.features_ND, train.labels_N),
        None if val is None else (val.features_ND, val.labels_N),
        num_classes=batches.splits.num_classes,
        class_weights_C=objective.weights_C if isinstance(objective, CrossEntropy) else None,
    )
    experiment.network.head.load_state_dict(fitted.state)
    for part in strategy.parts.values():
        part.remember(experiment.network)
    if val is not None:
        with torch.no_grad():
            right = (experiment.network.head(val.features_ND).argmax(1) == val.labels_N).double().mean()
        recorder.note(f"the head starts as a linear probe: validation accuracy {right:.3f}")
