"""All figures of a gap at once: what they say of known distributions, and what is refused."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from transferlab.evaluation.gap.domain_gap import divided_at_random, domain_gap
from transferlab.evaluation.gap.feature_samples import sampled_rows
from transferlab.evaluation.gap.moments import frechet_distance


def normal(samples: int, features: int, *, seed: int, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    points = np.random.default_rng(seed).normal(shift, scale, size=(samples, features))
    return points.astype(np.float32)


def gap(source: np.ndarray, target: np.ndarray, *, seed: int = 0):
    return domain_gap(source, target, seed=seed, num_permutations=199, num_subsets=20)


def test_one_distribution_has_no_gap():
    found = gap(normal(300, 20, seed=0), normal(200, 20, seed=1))
    assert (found.num_source, found.num_target, found.num_features) == (300, 200, 20)
    assert found.mmd_p_value > 0.05
    assert abs(found.mmd) < 0.002
    assert found.a_distance < 3 * found.a_distance_error
    assert abs(found.kid) < 2 * found.kid_std
    # the estimates are biased: not 0, but what a division at random gives
    assert found.frechet == pytest.approx(found.frechet_floor, rel=0.25)
    assert found.coral == pytest.approx(found.coral_floor, rel=0.25)
    assert found.frechet > 0.1


def test_a_gap_is_seen_by_every_figure():
    source, target = normal(300, 20, seed=0), normal(200, 20, seed=1, shift=0.5, scale=1.5)
    none, found = gap(source, normal(200, 20, seed=2)), gap(source, target)
    assert found.mmd_p_value == 1 / 200
    for figure in ("mmd", "a_distance", "frechet", "frechet_relative", "kid", "coral"):
        assert getattr(found, figure) > getattr(none, figure), figure
    assert found.frechet > 3 * found.frechet_floor
    assert found.frechet == frechet_distance(source, target)
    assert found.kid_subset_size == 100


def test_which_figures_depend_on_the_scale():
    source, target = normal(100, 6, seed=0), normal(80, 6, seed=1, shift=1.0)
    once, twice = gap(source, target), gap(2 * source, 2 * target)
    for figure in ("mmd", "mmd_p_value", "frechet_relative", "a_distance"):
        assert getattr(twice, figure) == pytest.approx(getattr(once, figure), rel=1e-6), figure
    assert twice.frechet == pytest.approx(4 * once.frechet)
    assert twice.coral == pytest.approx(16 * once.coral)
    assert twice.kid > once.kid


def test_the_seed_and_plain_numbers():
    source, target = normal(60, 4, seed=0), normal(50, 4, seed=1, shift=0.3)
    assert gap(source, target) == gap(source, target)
    assert gap(source, target) != gap(source, target, seed=1)
    figures = dataclasses.asdict(gap(source, target))
    assert json.loads(json.dumps(figures)) == figures


def test_collapsed_features_are_no_gap():
    found = gap(np.ones((10, 3)), np.ones((8, 3)))
    assert found.mmd_p_value == 1.0
    assert found.a_distance == found.frechet == found.frechet_relative == found.coral == 0.0
    assert found.kid == pytest.approx(0.0)


def test_the_smallest_domains():
    found = gap(normal(4, 50, seed=0), normal(5, 50, seed=1))
    assert found.kid_subset_size == 2
    assert 0.0 <= found.a_distance <= 2.0


def test_divided_at_random_keeps_every_sample():
    one, other = divided_at_random(np.zeros((30, 1)), np.ones((20, 1)), seed=0)
    assert (one.shape, other.shape) == ((30, 1), (20, 1))
    assert one.sum() + other.sum() == 20
    assert 0 < other.sum() < 20


def test_sampled_rows():
    rows = sampled_rows(100, 10, seed=0, what="source")
    assert len(set(rows.tolist())) == 10
    assert np.array_equal(rows, np.sort(rows))
    assert np.array_equal(rows, sampled_rows(100, 10, seed=0, what="source"))
    assert not np.array_equal(rows, sampled_rows(100, 10, seed=0, what="target"))
    assert np.array_equal(sampled_rows(4, 10, seed=0, what="source"), np.arange(4))


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (np.zeros((3, 2)), np.zeros((9, 2)), "at least 4 samples of each domain; the source has 3"),
        (np.zeros((9, 2)), np.zeros((9, 3)), "source has 2 features a sample and the target 3"),
        (np.zeros(9), np.zeros((9, 3)), r"source features must be a table .* got \(9,\)"),
        (np.zeros((9, 0)), np.zeros((9, 0)), "must be a table"),
        (np.zeros((9, 2)), np.array([[0, 0], [0, np.nan], [np.inf, np.nan], [1, 1]]), "2 target samples"),
    ],
)
def test_what_is_refused(source, target, message):
    with pytest.raises(ValueError, match=message):
        domain_gap(source, target, seed=0)
