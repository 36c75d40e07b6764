"""Seeds derived from what they are for."""

from __future__ import annotations

import doctest

from transferlab.run import randomness
from transferlab.run.randomness import derived_seed


def test_a_pure_function_of_all_parts():
    assert derived_seed("a", 1) == derived_seed("a", 1) == 6222101017213550541
    seeds = {
        derived_seed(*parts) for parts in [("a", 1), (1, "a"), ("a", "1"), ("a", 1, 0), ("a1",), ("a",), ()]
    }
    assert len(seeds) == 7
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_spread_over_the_range():
    seeds = [derived_seed(number) for number in range(1000)]
    assert 450 < sum(seed >= 2**62 for seed in seeds) < 550


def test_examples():
    assert doctest.testmod(randomness).failed == 0
