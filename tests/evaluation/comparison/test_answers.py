"""Answers to test images, from run folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.evaluation.comparison.run_folders import make_run, right
from transferlab.evaluation.comparison.answers import answers_of, read_table
from transferlab.evaluation.comparison.grouping import Repetition, groups_of
from transferlab.evaluation.predictions import Predictions
from transferlab.sweep.gather import gather


def repetitions() -> tuple[Repetition, ...]:
    (group,) = groups_of(gather([Path("sweep")]))
    return group.repetitions


def test_right_answers_of_each_seed():
    hits = np.array([[True, True, False, False], [True, False, False, True]])
    for seed, hit in enumerate(hits):
        make_run(f"{seed}", hit, seed=seed)
    answers = answers_of(repetitions())
    assert answers.samples_N.tolist() == ["sample0", "sample1", "sample2", "sample3"]
    assert [answers.classes[code] for code in answers.labels_N] == ["a", "a", "b", "a"]
    np.testing.assert_array_equal(answers.right_SN, hits)
    assert (answers.num_groups, answers.is_grouped, answers.is_constant) == (4, False, False)


def test_the_order_of_rows_does_not_matter():
    hits = right(0.5, num_samples=20)
    make_run("0", hits, seed=0)
    second = make_run("1", hits, seed=1)
    file = second.path / "predictions" / "test.csv"
    pd.read_csv(file, dtype=str).iloc[::-1].to_csv(file, index=False)
    assert answers_of(repetitions()).is_constant


def test_folds_together():
    for fold in range(2):
        make_run(f"{fold}", right(0.5, num_samples=4), settings={"data.fold": fold}, names=f"fold{fold}-")
    answers = answers_of(repetitions())
    assert answers.right_SN.shape == (1, 8)
    assert answers.right_SN.sum() == 4


def test_other_samples_or_labels_are_not_the_same():
    make_run("0", right(0.5), seed=0)
    first = answers_of(repetitions())
    assert first.has_the_images_of(first)
    make_run("1", right(0.5), seed=1, names="other")
    assert answers_of(repetitions()) is None
    assert not first.has_the_images_of(answers_of(repetitions()[1:]))
    assert answers_of([]) is None


def test_samples_without_a_label_do_not_count():
    run = make_run("0", right(0.5, num_samples=4))
    probabilities = np.full((4, 2), 0.5)
    table = Predictions(list("abcd"), np.array([0, -1, 1, -1]), probabilities, ("x", "y"))
    table.write(run.path / "predictions" / "test.csv")
    assert answers_of(repetitions()).samples_N.tolist() == ["a", "c"]
    table = Predictions(list("ab"), np.array([-1, -1]), probabilities[:2], ("x", "y"))
    table.write(run.path / "predictions" / "test.csv")
    assert answers_of(repetitions()) is None


def test_without_a_test_part():
    make_run("0", None, val=0.5)
    assert answers_of(repetitions()) is None


SPLIT = """sample,label,group,split,domain
sample0,a,p1,test,source
sample1,a,p1,test,source
sample2,a,,test,source
sample0,a,p2,test,target
sample1,a,p3,test,target
sample2,a,p3,test,target
"""


def test_groups_are_those_of_the_splits_domain():
    run = make_run("0", right(0.5, num_samples=3))
    (run.path / "split.csv").write_text(SPLIT)
    (run.path / "predictions" / "test.csv").rename(run.path / "predictions" / "source_test.csv")
    assert read_table([run.path], "source_test")["group"].tolist() == ["p1", "p1", ""]
    (run.path / "predictions" / "source_test.csv").rename(run.path / "predictions" / "test.csv")
    assert read_table([run.path])["group"].tolist() == ["p2", "p3", "p3"]
    assert answers_of(repetitions()).groups_N.tolist() == [0, 1, 1]


def test_names_that_look_like_numbers_or_nothing_stay_text():
    run = make_run("0", right(1.0, num_samples=3))
    labels_N, probabilities_NC = np.array([0, 1, 2]), np.eye(3)
    Predictions(["0007", "NA", "1e5"], labels_N, probabilities_NC, ("001", "1", "nan")).write(
        run.path / "predictions" / "test.csv"
    )
    answers = answers_of(repetitions())
    assert answers.samples_N.tolist() == ["0007", "1e5", "NA"]
    assert [answers.classes[code] for code in answers.labels_N] == ["001", "nan", "1"]


@pytest.mark.parametrize("text", ["", "sample,label\nx,a\n", "sample,label,predicted\nx,a"])
def test_a_file_that_is_no_table(text):
    run = make_run("0", 0.5)
    (run.path / "predictions" / "test.csv").write_text(text)
    with pytest.raises(ValueError, match=r"predictions/test\.csv"):
        read_table([run.path])
