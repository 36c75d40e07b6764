"""A kind of run that is not a training: it predicts the frequencies of the classes."""

from __future__ import annotations

import numpy as np

from transferlab.data.splits import arrange
from transferlab.evaluation.metrics import metrics_in_order
from transferlab.evaluation.predictions import Predictions
from transferlab.training import run_record as record
from transferlab.training.build import make_data

NAME = "prior"
TARGET = f"{__name__}:prior"


def prior(config, recorder, *, resume):
    """Predict every sample's class by how frequent classes are in training; smoothed by the seed."""
    splits = arrange(make_data(config))
    marker = recorder.run.path / "counted.txt"
    recorder.note(f"resumed: {resume and marker.is_file()}")
    counts_C = splits.class_counts + config.seed
    marker.write_text(" ".join(map(str, counts_C)))
    after_counting()
    tables = {}
    for name in splits.reported:
        catalog = splits[name].catalog
        probabilities_NC = np.tile(counts_C / counts_C.sum(), (len(catalog), 1))
        tables[name] = Predictions(catalog.samples, catalog.codes, probabilities_NC, splits.classes)
        tables[name].write(recorder.run.path / "predictions" / f"{name}.csv")
    recorder.result |= {
        "metrics": metrics_in_order(splits.class_counts),
        **record.evaluation_record(tables),
        "selection": {"rule": "last"},
        "cost": {},
    }


def after_counting() -> None:
    """Tests kill the process here."""
