"""Pairs of methods, on arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.evaluation.comparison.run_folders import make_run, right
from transferlab.evaluation.comparison.grouping import Repetition, groups_of
from transferlab.evaluation.comparison.pairs import Hits, Method, compare_pairs, confusion_of, hits_of
from transferlab.evaluation.comparison.significance import holm, paired_bootstrap
from transferlab.evaluation.metrics import confusion_matrix
from transferlab.evaluation.predictions import Predictions
from transferlab.sweep.gather import gather

NUM_SAMPLES = 200


def method(
    name: str, share: float, *, seeds: int = 8, task: str = "", names: str = "s", spread: float = 0.01
) -> Method:
    generator = np.random.default_rng(len(name))
    hits = generator.random(NUM_SAMPLES) < share
    metrics = {(seed,): hits.mean() + spread * (seed - (seeds - 1) / 2) for seed in range(seeds)}
    samples = np.array([f"{names}{number:03}" for number in range(NUM_SAMPLES)], dtype=object)
    labels = np.array(["a"] * (NUM_SAMPLES - 20) + ["b"] * 20, dtype=object)
    return Method(name, task, metrics, Hits(samples, labels, hits.astype(float)))


def test_identical_methods():
    one = method("one", 0.8)
    (pair,) = compare_pairs([one, one], metric="accuracy")
    assert pair.difference == 0.0
    assert (pair.over_samples.p_value, pair.over_samples.corrected) == (1.0, 1.0)
    assert (pair.over_seeds.p_value, pair.over_seeds.corrected) == (1.0, 1.0)
    assert pair.over_samples.verdict == pair.over_seeds.verdict == "no difference shown"


def test_the_better_one_is_first():
    pairs = compare_pairs([method("a", 0.5), method("bb", 0.9)], metric="accuracy")
    assert (pairs[0].first, pairs[0].second) == ("bb", "a")
    assert pairs[0].difference > 0.3
    assert pairs[0].interval.low < pairs[0].difference < pairs[0].interval.high
    assert pairs[0].over_samples.verdict == pairs[0].over_seeds.verdict == "better"
    assert pairs[0].over_seeds.p_value == pytest.approx(2 / 2**8)
    assert (pairs[0].num_samples, pairs[0].num_seeds) == (NUM_SAMPLES, 8)


def test_a_test_may_find_the_one_with_the_higher_mean_worse():
    """With one seed it is much better, with eleven a little worse: the ranks speak against it."""
    one, other = method("a", 0.5, seeds=12), method("bb", 0.5, seeds=12)
    for number, seed in enumerate(one.test_metrics):
        one.test_metrics[seed] = other.test_metrics[seed] + (0.3 if number == 11 else -0.001 * (number + 1))
    (pair,) = compare_pairs([other, one], metric="accuracy")
    assert (pair.first, pair.over_seeds.verdict) == ("a", "worse")
    assert pair.difference > 0
    assert pair.over_seeds.p_value == pytest.approx(
        stats.wilcoxon([0.3, *(-0.001 * np.arange(1, 12))], method="exact").pvalue
    )


def test_each_question_is_corrected_for_all_pairs():
    methods = [method("a", 0.8), method("bb", 0.7), method("ccc", 0.65)]
    pairs = compare_pairs(methods, metric="accuracy")
    assert len(pairs) == 3
    for name in ("over_samples", "over_seeds"):
        questions = [getattr(pair, name) for pair in pairs]
        expected = holm(np.array([question.p_value for question in questions]))
        assert [question.corrected for question in questions] == expected.tolist()
        assert [question.shown for question in questions] == (expected < 0.05).tolist()
    # it is the correction that takes this one away
    p_values = [pair.over_samples.p_value for pair in pairs]
    corrected = [pair.over_samples.corrected for pair in pairs]
    assert any(p < 0.05 <= c for p, c in zip(p_values, corrected, strict=True))


def test_with_too_few_seeds_there_is_no_p_value():
    (pair,) = compare_pairs([method("a", 0.5, seeds=5), method("bb", 0.9)], metric="accuracy")
    assert pair.num_seeds == 5
    assert pair.over_seeds.p_value is None
    assert not pair.over_seeds.shown
    assert pair.over_seeds.verdict == "too few seeds: 5 of 6"
    assert pair.over_samples.shown


def test_other_test_samples_are_refused():
    other, none = method("bb", 0.9, names="t"), method("ccc", 0.7)
    methods = [method("a", 0.5), other, Method(none.name, "", none.test_metrics, None)]
    pairs = compare_pairs(methods, metric="accuracy")
    assert pairs[0].over_samples.verdict == "different test samples"
    assert pairs[1].over_samples.verdict == "no test samples that all seeds share"
    assert all(pair.interval is None and pair.num_samples == 0 for pair in pairs)
    assert all(pair.over_samples.p_value is None for pair in pairs)
    assert all(pair.over_seeds.p_value is not None for pair in pairs)


def test_only_within_a_task():
    methods = [method("a", 0.5, task="x"), method("bb", 0.9, task="y"), method("ccc", 0.7, task="x")]
    pairs = compare_pairs(methods, metric="accuracy")
    assert [(pair.first, pair.second) for pair in pairs] == [("ccc", "a")]
    assert compare_pairs([], metric="accuracy") == []


def test_of_many_methods_the_first_is_tested_with_each():
    names = ["x" * (number + 1) for number in range(11)]
    pairs = compare_pairs([method(name, 0.5, seeds=2) for name in names], metric="accuracy")
    assert [{pair.first, pair.second} for pair in pairs] == [{"x", name} for name in names[1:]]
    pairs = compare_pairs([method(name, 0.5, seeds=2) for name in names[:10]], metric="accuracy")
    assert len(pairs) == 45


def test_balanced_accuracy_gives_classes_the_same_weight():
    one, other = method("a", 0.9), method("bb", 0.8)
    (plain,) = compare_pairs([one, other], metric="accuracy")
    (balanced,) = compare_pairs([one, other], metric="balanced_accuracy")
    differences_N = one.hits.right_N - other.hits.right_N
    strata_N = (one.hits.labels_N == "b").astype(int)
    assert balanced.interval == paired_bootstrap(differences_N, strata_N).interval
    assert plain.interval == paired_bootstrap(differences_N, 0 * strata_N).interval
    assert balanced.interval.high - balanced.interval.low > plain.interval.high - plain.interval.low


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
