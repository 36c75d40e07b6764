"""Pairs of methods, on arrays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from transferlab.evaluation.comparison.answers import Answers
from transferlab.evaluation.comparison.intervals import difference
from transferlab.evaluation.comparison.pairs import Method, compare_pairs
from transferlab.evaluation.comparison.significance import holm

NUM_SAMPLES = 200


def method(
    name: str, share: float, *, seeds: int = 8, task: str = "", names: str = "s", spread: float = 0.01
) -> Method:
    generator = np.random.default_rng(len(name))
    hits = generator.random(NUM_SAMPLES) < share
    metrics = {(seed,): hits.mean() + spread * (seed - (seeds - 1) / 2) for seed in range(seeds)}
    samples = np.array([f"{names}{number:03}" for number in range(NUM_SAMPLES)], dtype=object)
    labels_N = (np.arange(NUM_SAMPLES) >= NUM_SAMPLES - 20).astype(int)
    guesses_SN = np.tile(np.where(hits, labels_N, 1 - labels_N), (seeds, 1))
    answers = Answers(samples, labels_N, guesses_SN, np.arange(NUM_SAMPLES), ("a", "b"))
    return Method(name, task, metrics, answers)


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
    rights = one.answers.right_SN, other.answers.right_SN
    labels_N, groups_N = one.answers.labels_N, one.answers.groups_N
    assert balanced.interval == difference(*rights, labels_N, groups_N, balanced=True)
    assert plain.interval == difference(*rights, labels_N, groups_N, balanced=False)
    assert balanced.interval.high - balanced.interval.low > plain.interval.high - plain.interval.low


def with_noise(method: Method, seed: int) -> Method:
    """Answers of which one in ten is another one with each seed."""
    answers = method.answers
    flips_SN = np.random.default_rng(seed).random(answers.guesses_SN.shape) < 0.1
    noisy = replace(answers, guesses_SN=np.where(flips_SN, 1 - answers.guesses_SN, answers.guesses_SN))
    return replace(method, answers=noisy)


def test_the_interval_covers_seeds_from_three_shared_ones_on():
    one, other = with_noise(method("a", 0.6), 0), with_noise(method("bb", 0.9), 1)
    (pair,) = compare_pairs([one, other], metric="accuracy")
    assert pair.covers == "other images and other seeds"
    two = Method("a", "", dict(list(one.test_metrics.items())[:2]), one.answers.of_seeds([0, 1]))
    (few,) = compare_pairs([two, other], metric="accuracy")
    assert few.covers == "other images, not other seeds"
    same = method("ccc", 0.7)
    (constant,) = compare_pairs([same, method("bb", 0.9)], metric="accuracy")
    assert constant.covers == "other images; seeds do not vary"


def test_only_shared_seeds_enter_where_there_are_three():
    one, other = method("a", 0.6, seeds=8), method("bb", 0.9, seeds=4)
    (pair,) = compare_pairs([one, other], metric="accuracy")
    seeds = [(number,) for number in range(4)]
    expected = np.mean([other.test_metrics[seed] - one.test_metrics[seed] for seed in seeds])
    assert pair.difference == pytest.approx(expected)


def test_groups_are_drawn_whole():
    one, other = method("a", 0.8), method("bb", 0.7)
    groups_N = np.arange(NUM_SAMPLES) // 20
    grouped = [replace(each, answers=replace(each.answers, groups_N=groups_N)) for each in (one, other)]
    (plain,) = compare_pairs([one, other], metric="accuracy")
    (pair,) = compare_pairs(grouped, metric="accuracy")
    assert pair.covers == "other groups of images; seeds do not vary"
    assert pair.over_samples.p_value != plain.over_samples.p_value
