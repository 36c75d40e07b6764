"""Chosen methods against each other, two at a time: over test samples and over seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from transferlab.evaluation.comparison.answers import Answers
from transferlab.evaluation.comparison.grouping import Seed
from transferlab.evaluation.comparison.intervals import Interval, coverage, difference
from transferlab.evaluation.comparison.significance import (
    holm,
    paired_bootstrap,
    seeds_needed,
    signed_rank,
)
from transferlab.evaluation.comparison.variation import FEWEST_SEEDS

LEVEL = 0.05
# methods of a task; with more, the correction for all pairs would leave little to be shown
MOST_ALL_PAIRS = 10


@dataclass(frozen=True)
class Method:
    """A chosen method."""

    name: str  # of its group
    task: str  # methods are compared within one
    test_metrics: dict[Seed, float]  # by seed, higher is better
    # to test images, by the seeds of `test_metrics` in this order; None where there are none, or not the same
    # images for all seeds
    answers: Answers | None


@dataclass(frozen=True)
class Question:
    """One of the two tests of a pair."""

    p_value: float | None = None  # none where it is not asked
    corrected: float | None = None  # by Holm, for all pairs that are asked the same
    reversed: bool = False  # the test finds the second method of the pair the better one
    why_not: str = ""  # why it is not asked

    @property
    def shown(self) -> bool:
        """True if there is a difference, at a level of 5 % for all pairs together."""
        return self.corrected is not None and self.corrected < LEVEL

    @property
    def verdict(self) -> str:
        """Outcome for the first method of the pair, in words."""
        if self.corrected is None:
            return self.why_not
        if not self.shown:
            return "no difference shown"
        return "worse" if self.reversed else "better"


@dataclass(frozen=True)
class Pair:
    """Two methods of one task, the one with the higher test metric first.

    Attributes:
        difference: of the means of their test metrics, at least 0; over the seeds that both share, where
            there are three, else over the seeds of each.
        interval: of the difference; None where test images differ.
        covers: what the interval covers, e.g. `other images and other seeds`; empty without one.
        num_samples: test images that both share.
        num_seeds: seeds that both share.
        over_samples: would other test images show the same of these models? Paired bootstrap.
        over_seeds: would other seeds? Wilcoxon's signed-rank test on shared ones, by ranks instead of means.
    """

    first: str
    second: str
    difference: float
    interval: Interval | None
    covers: str
    num_samples: int
    num_seeds: int
    over_samples: Question
    over_seeds: Question


def compare_pairs(methods: Sequence[Method], *, metric: str) -> list[Pair]:
    """Test pairs of methods that have the same task: all, or with more than ten methods the first with each.

    The two tests answer different questions, so each is corrected by Holm for all pairs by itself.

    Args:
        methods: that have finished runs; the best on validation, which says nothing of test, first.
        metric: `accuracy` or `balanced_accuracy`, of which the test metrics are.
    """
    pairs = [_pair(one, other, metric) for one, other in _to_be_tested(methods)]
    over_samples = _corrected([pair.over_samples for pair in pairs])
    over_seeds = _corrected([pair.over_seeds for pair in pairs])
    return [
        replace(pair, over_samples=samples, over_seeds=seeds)
        for pair, samples, seeds in zip(pairs, over_samples, over_seeds, strict=True)
    ]


def _to_be_tested(methods: Sequence[Method]) -> Iterator[tuple[Method, Method]]:
    for task in dict.fromkeys(method.task for method in methods):
        alike = [method for method in methods if method.task == task]
        if len(alike) > MOST_ALL_PAIRS:
            yield from ((alike[0], other) for other in alike[1:])
        else:
            yield from combinations(alike, 2)


def _pair(one: Method, other: Method, metric: str) -> Pair:
    shared = sorted(one.test_metrics.keys() & other.test_metrics.keys())
    is_paired = len(shared) >= FEWEST_SEEDS
    first, second = sorted((one, other), key=lambda method: -_mean(method, shared if is_paired else None))
    differences_S = np.array([first.test_metrics[seed] - second.test_metrics[seed] for seed in shared])
    if len(shared) < seeds_needed(1):  # nor could it with more comparisons
        over_seeds = Question(why_not=f"too few seeds: {len(shared)} of {seeds_needed(1)}")
    else:
        tested = signed_rank(differences_S)
        over_seeds = Question(p_value=tested.p_value, reversed=tested.rank_sum < 0)
    interval, covers, num_samples = None, "", 0
    if first.answers is None or second.answers is None:
        over_samples = Question(why_not="no test samples that all seeds share")
    elif not first.answers.has_the_images_of(second.answers):
        over_samples = Question(why_not="different test samples")
    else:
        labels_N, num_samples = first.answers.labels_N, len(first.answers.labels_N)
        of_groups = first.answers if first.answers.is_grouped else second.answers
        balanced = metric == "balanced_accuracy"
        rights = [_right(method, shared if is_paired else None) for method in (first, second)]
        strata_N = labels_N if balanced else np.zeros(num_samples, dtype=np.int64)
        apart_N = rights[0].mean(0) - rights[1].mean(0)
        found = paired_bootstrap(apart_N, strata_N, of_groups.groups_N)
        over_samples = Question(p_value=found.p_value)
        if not is_paired:
            rights = [right_SN.mean(0, keepdims=True) for right_SN in rights]
        interval = difference(rights[0], rights[1], labels_N, of_groups.groups_N, balanced=balanced)
        apart_SN = rights[0].astype(np.float64) - rights[1]
        is_constant = is_paired and bool((apart_SN == apart_SN[0]).all())
        covers = coverage(len(apart_SN), is_grouped=of_groups.is_grouped, is_constant=is_constant)
    return Pair(
        first=first.name,
        second=second.name,
        difference=_mean(first, shared if is_paired else None) - _mean(second, shared if is_paired else None),
        interval=interval,
        covers=covers if interval else "",
        num_samples=num_samples,
        num_seeds=len(shared),
        over_samples=over_samples,
        over_seeds=over_seeds,
    )


def _mean(method: Method, seeds: Sequence[Seed] | None) -> float:
    return float(np.mean([method.test_metrics[seed] for seed in seeds or method.test_metrics]))


def _right(method: Method, seeds: Sequence[Seed] | None) -> np.ndarray:
    """Right answers `(S, N)` of these seeds, or of all."""
    assert method.answers is not None
    places = {seed: place for place, seed in enumerate(method.test_metrics)}
    return method.answers.right_SN[[places[seed] for seed in seeds or method.test_metrics]]


def _corrected(questions: Sequence[Question]) -> list[Question]:
    asked = [question.p_value for question in questions if question.p_value is not None]
    corrected = iter(holm(np.array(asked)).tolist())
    return [
        question if question.p_value is None else replace(question, corrected=next(corrected))
        for question in questions
    ]
