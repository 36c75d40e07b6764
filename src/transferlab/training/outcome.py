"""What a fit leaves: its history, and predictions by the selected weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from transferlab.data.module import DataModule
from transferlab.evaluation.predictions import Predictions


@dataclass(frozen=True)
class Outcome:
    """A fitted experiment; its network holds the selected weights.

    Attributes:
        history: an entry for each epoch.
        predictions: by part of the data.
        fit_seconds: wall time from the first image read to the fitted model.
        chosen: what else was selected, and how, for the record.
        memory: what the strategy's parts have concluded, by name.
    """

    history: list[dict[str, float]]
    predictions: dict[str, Predictions]
    fit_seconds: float
    chosen: dict[str, Any] = field(default_factory=dict)
    memory: dict[str, torch.Tensor] = field(default_factory=dict)


def evaluated_parts(data: DataModule) -> list[str]:
    """The parts whose figures a run reports; those without samples are left out."""
    return [part for part in ("val", "test", "source_test") if data.parts.get(part)]
