"""What a fit leaves: its history, and predictions by the selected weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from transferlab.evaluation.predictions import Predictions


@dataclass(frozen=True)
class Outcome:
    """A fitted experiment; its network holds the selected weights.

    Attributes:
        history: an entry for each epoch.
        predictions: by split.
        fit_seconds: wall time from the first image read to the fitted model.
        chosen: what else was selected, and how, for the record.
    """

    history: list[dict[str, float]]
    predictions: dict[str, Predictions]
    fit_seconds: float
    chosen: dict[str, Any] = field(default_factory=dict)
