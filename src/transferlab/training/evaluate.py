"""Predictions of a fitted model for a part of the data."""

from __future__ import annotations

import pytorch_lightning as pl

from transferlab.evaluation.predictions import Predictions
from transferlab.training.build import Experiment


def evaluated_parts(experiment: Experiment) -> list[str]:
    """The parts whose figures a run reports; those without samples are left out."""
    parts = experiment.data.parts
    return [part for part in ("val", "test", "source_test") if parts.get(part)]


def predict(trainer: pl.Trainer, experiment: Experiment, part: str) -> Predictions:
    """What the module says of every sample of a part, in the order of the samples; each exactly once."""
    experiment.data.test_part = part
    trainer.test(experiment.module, datamodule=experiment.data, verbose=False)
    probabilities_NC, labels_N = experiment.module.outputs.gathered()
    return Predictions(
        experiment.data.samples(part), labels_N, probabilities_NC, tuple(experiment.data.classes)
    )
