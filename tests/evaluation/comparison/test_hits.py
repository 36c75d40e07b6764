"""Test samples of repetitions, with how often they are predicted rightly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from tests.evaluation.comparison.run_folders import make_run, right
from transferlab.evaluation.comparison.grouping import Repetition, groups_of
from transferlab.evaluation.comparison.hits import confusion_of, hits_of
from transferlab.evaluation.metrics import confusion_matrix
from transferlab.evaluation.predictions import Predictions
from transferlab.sweep.gather import gather


def repetitions() -> tuple[Repetition, ...]:
    (group,) = groups_of(gather([Path("sweep")]))
    return group.repetitions


def test_share_of_repetitions_that_are_right():
    hits = np.array([[True, True, False, False], [True, False, False, True]])
    for seed, hit in enumerate(hits):
        make_run(f"{seed}", hit, seed=seed)
    hits = hits_of(repetitions())
    assert hits.samples_N.tolist() == ["sample0", "sample1", "sample2", "sample3"]
    assert hits.labels_N.tolist() == ["a", "a", "b", "a"]
    np.testing.assert_array_equal(hits.right_N, [1, 0.5, 0, 0.5])


def test_the_order_of_rows_does_not_matter():
    hits = right(0.5, num_samples=20)
    first, second = make_run("0", hits, seed=0), make_run("1", hits, seed=1)
    file = second.path / "predictions" / "test.csv"
    table = pd.read_csv(file, dtype=str).iloc[::-1]
    table.to_csv(file, index=False)
    assert set(hits_of(repetitions()).right_N) == {0.0, 1.0}
    assert first.predictions()["sample"].tolist() == table["sample"].tolist()[::-1]


def test_folds_together():
    for fold in range(2):
        make_run(f"{fold}", right(0.5, num_samples=4), settings={"data.fold": fold}, names=f"fold{fold}-")
    hits = hits_of(repetitions())
    assert len(hits.samples_N) == 8
    assert hits.right_N.sum() == 4


def test_other_samples_or_labels_are_not_the_same():
    make_run("0", right(0.5), seed=0)
    first = hits_of(repetitions())
    assert first.has_the_samples_of(first)
    make_run("1", right(0.5), seed=1, names="other")
    assert hits_of(repetitions()) is None
    assert not first.has_the_samples_of(hits_of(repetitions()[1:]))
    assert hits_of([]) is None


def test_samples_without_a_label_do_not_count():
    run = make_run("0", right(0.5, num_samples=4))
    probabilities = np.full((4, 2), 0.5)
    table = Predictions(list("abcd"), np.array([0, -1, 1, -1]), probabilities, ("x", "y"))
    table.write(run.path / "predictions" / "test.csv")
    assert hits_of(repetitions()).samples_N.tolist() == ["a", "c"]
    assert confusion_of(repetitions()[0]).tolist() == [[1, 0], [1, 0]]
    table = Predictions(list("ab"), np.array([-1, -1]), probabilities[:2], ("x", "y"))
    table.write(run.path / "predictions" / "test.csv")
    assert hits_of(repetitions()) is None
    assert confusion_of(repetitions()[0]) is None


def test_without_a_test_part():
    make_run("0", None, val=0.5)
    assert hits_of(repetitions()) is None
    assert confusion_of(repetitions()[0]) is None


def test_confusion_matrix():
    run = make_run("0", right(0.7))
    predictions = Predictions.read(run.path / "predictions" / "test.csv")
    expected = confusion_matrix(predictions.probabilities_NC, predictions.labels_N)
    np.testing.assert_array_equal(confusion_of(repetitions()[0]), expected)
