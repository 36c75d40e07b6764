"""Progress and rates by hand."""

from __future__ import annotations

import pytest

from transferlab.strategy.learning_rates.schedule import LearningRates
from transferlab.training.heads.head_job import Timetable


def test_progress():
    assert [Timetable(4, 5).progress(step) for step in (0, 10, 19)] == [0.0, 0.5, 0.95]
    assert Timetable(4, -1).progress(1000) == 0.0


def test_rate():
    rates = LearningRates(base=0.2, schedule="step", step_epochs=2, warmup_epochs=1.0, objective_factor=0.5)
    found = [Timetable(4, 5).rate(rates, 0, step) for step in (0, 1, 4, 8, 16)]
    assert found == pytest.approx([0.0, 0.05, 0.2, 0.02, 0.002])
    assert Timetable(4, 5).rate(rates, -1, 4) == pytest.approx(0.1)
