"""Half-widths over seeds and images, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from transferlab.evaluation.comparison.variation import effective_images, half_width


def test_one_seed_is_students_interval_over_groups():
    values_G = np.random.default_rng(0).normal(size=20)
    expected = stats.t.ppf(0.975, 19) * stats.sem(values_G)
    assert half_width(values_G[None, None], confidence=0.95)[0] == pytest.approx(expected)


def test_seeds_alone_are_students_interval_over_seeds():
    values_S = np.array([0.7, 0.8, 0.9])
    table_BSG = np.repeat(values_S[None, :, None], 50, axis=2)
    expected = stats.t.ppf(0.975, 2) * stats.sem(values_S)
    assert half_width(table_BSG, confidence=0.95)[0] == pytest.approx(expected)


def test_images_alone_are_students_interval_over_images():
    values_G = np.random.default_rng(0).normal(size=40)
    table_BSG = np.repeat(values_G[None, None], 3, axis=1)
    expected = stats.t.ppf(0.975, 39) * stats.sem(values_G)
    assert half_width(table_BSG, confidence=0.95)[0] == pytest.approx(expected)


@pytest.mark.parametrize("num_seeds", [3, 10])
@pytest.mark.parametrize(("of_seeds", "of_groups"), [(0, 0), (0, 3), (0.2, 0), (0.2, 1), (3, 1)])
def test_coverage_of_normal_values(num_seeds, of_seeds, of_groups):
    generator, draws = np.random.default_rng(0), 3000
    table = generator.normal(size=(draws, num_seeds, 30))
    table += of_seeds * generator.normal(size=(draws, num_seeds, 1))
    table += of_groups * generator.normal(size=(draws, 1, 30))
    held = np.mean(np.abs(table.mean((1, 2))) <= half_width(table, confidence=0.95))
    assert 0.928 < held < 0.985


def test_two_seeds_are_taken_as_they_are():
    table_BSG = np.random.default_rng(0).normal(size=(1, 2, 30)) + np.array([0, 5])[None, :, None]
    expected = half_width(table_BSG.mean(1, keepdims=True), confidence=0.95)
    assert half_width(table_BSG, confidence=0.95) == pytest.approx(expected)
    assert expected[0] < 1


def test_effective_images_are_between_groups_and_images():
    generator = np.random.default_rng(0)
    right_BSG = (generator.random((50, 3, 200)) < 0.9).astype(float)
    limits = {"most": 600.0, "fewest": 200.0, "confidence": 0.95}
    variance_B = np.full(50, 0.09)
    independent_B = effective_images(right_BSG, 1 - right_BSG, variance_B, **limits)
    assert 200 < np.median(independent_B) <= 600
    same = np.repeat(right_BSG[:, :1], 3, axis=1)
    assert np.median(effective_images(same, 1 - same, variance_B, **limits)) == pytest.approx(200, rel=0.1)
    none = np.ones((1, 3, 200))
    assert effective_images(none, 1 - none, np.zeros(1), **limits).tolist() == [200]
