"""Coverage of the intervals that `transferlab compare` prints, simulated: benchmarks/results/coverage.md.

    python benchmarks/coverage.py [--draws N]

Models answer test images; the accuracy of a seed is drawn from a beta distribution, and an image is answered
rightly if a normal value lies below the seed's threshold. Parts of that value are common to all seeds (the
difficulty of the image) and to all images of a group. The number is the share of nominal 95 % intervals that
hold the true mean.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from transferlab.evaluation.comparison.intervals import difference_limits, proportion_limits

RESULT = Path(__file__).parent / "results" / "coverage.md"
NUM_SEEDS, NUM_IMAGES = (1, 3, 5, 10), (30, 150, 1000)
ACCURACIES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99)
SPREADS = (0.0, 0.01, 0.03)  # standard deviation of seeds, at most half of the error rate
_AT_ONCE = 2**21  # answers


@dataclass(frozen=True)
class Images:
    """Correlation of answers."""

    name: str
    common: float  # share of the variance that all seeds have in common, of an image
    in_group: float = 0.0  # and that all images of a group have in common
    per_group: dict[int, int] | None = None  # images per group, by number of images


KINDS = (
    Images("independent answers", 0.0),
    Images("difficult images", 0.5),
    Images("seeds agree", 0.9),
    Images("groups of images", 0.3, 0.5, {30: 3, 150: 5, 1000: 5}),
)


def drawn(
    generator: np.random.Generator,
    draws: int,
    num_seeds: int,
    num_images: int,
    accuracy: float,
    spread: float,
    images: Images,
) -> tuple[np.ndarray, np.ndarray]:
    """Right answers `(draws, seeds, images)` and the groups of the images."""
    size = 1 if images.per_group is None else images.per_group[num_images]
    spread = min(spread, (1 - accuracy) / 2)
    seeds = np.full((draws, num_seeds), accuracy)
    if spread > 0:
        scale = accuracy * (1 - accuracy) / spread**2 - 1
        seeds = generator.beta(accuracy * scale, (1 - accuracy) * scale, (draws, num_seeds))
    groups_N = np.arange(num_images) // size
    shape = (draws, num_seeds, num_images)
    value = np.sqrt(1 - images.common - images.in_group) * generator.standard_normal(shape, np.float32)
    value += np.sqrt(images.common) * generator.standard_normal((draws, 1, num_images), np.float32)
    of_groups = generator.standard_normal((draws, 1, groups_N[-1] + 1), np.float32)
    value += np.sqrt(images.in_group) * of_groups[..., groups_N]
    return value < stats.norm.ppf(seeds)[..., None], groups_N


def _portions(draws: int, num_answers: int) -> Iterator[int]:
    """Numbers of draws that fit into memory at once, `draws` in all."""
    at_once = max(1, _AT_ONCE // num_answers)
    for start in range(0, draws, at_once):
        yield min(at_once, draws - start)


def coverage_of_accuracy(
    num_seeds: int,
    num_images: int,
    accuracy: float,
    spread: float,
    images: Images,
    *,
    draws: int,
    seed: int = 0,
) -> float:
    """Share of the intervals of one accuracy that hold it."""
    generator, held = np.random.default_rng([seed, num_seeds, num_images]), 0
    for count in _portions(draws, num_seeds * num_images):
        right_BSN, groups_N = drawn(generator, count, num_seeds, num_images, accuracy, spread, images)
        ones_N = np.ones(num_images)
        low_B, high_B = proportion_limits(right_BSN.astype(np.float64), right_BSN, groups_N, ones_N)
        held += int(((low_B <= accuracy + 1e-9) & (accuracy <= high_B + 1e-9)).sum())
    return held / draws


def coverage_of_difference(
    num_seeds: int,
    num_images: int,
    accuracy: float,
    spread: float,
    images: Images,
    *,
    draws: int,
    seed: int = 0,
) -> float:
    """Share of the intervals of the difference of two methods, the second 0.02 worse, that hold it."""
    generator, held, gap = np.random.default_rng([seed, num_seeds, num_images]), 0, 0.02
    for count in _portions(draws, num_seeds * num_images):
        # of one draw both halves: images are as difficult for the one method as for the other
        right_BSN, groups_N = drawn(generator, count, 2 * num_seeds, num_images, accuracy, spread, images)
        first_BSN, second_BSN = right_BSN[:, :num_seeds], right_BSN[:, num_seeds:]
        lost_BSN = generator.random(second_BSN.shape) < gap / accuracy
        apart_BSN = first_BSN.astype(np.float64) - (second_BSN & ~lost_BSN)
        low_B, high_B = difference_limits(apart_BSN, apart_BSN, groups_N, np.ones(num_images))
        held += int(((low_B <= gap) & (gap <= high_B)).sum())
    return held / draws


def main() -> None:
    """Simulate the grid and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=400, help="intervals of each setting (default: 400)")
    draws = parser.parse_args().draws
    lines = [
        "Coverage of nominal 95 % intervals, simulated (`python benchmarks/coverage.py`)",
        "",
        f"Lowest to highest of accuracies {', '.join(map(str, ACCURACIES))} and, from three seeds on, "
        f"standard deviations between seeds of {', '.join(map(str, SPREADS))} (at most half of the error "
        f"rate); {draws:,} draws a setting, so that a simulated 95.0 is within "
        f"{196 * (0.0475 / draws) ** 0.5:.1f} of the true one.",
    ]
    for title, coverage in (
        ("accuracy", coverage_of_accuracy),
        ("difference of two methods", coverage_of_difference),
    ):
        header = [title, "seeds", *(f"{num} images" for num in NUM_IMAGES)]
        lines += ["", f"| {' | '.join(header)} |", "|---|---:|" + "---:|" * len(NUM_IMAGES)]
        for images in KINDS:
            for num_seeds in NUM_SEEDS:
                cells = []
                for num_images in NUM_IMAGES:
                    found = [
                        coverage(num_seeds, num_images, accuracy, spread, images, draws=draws)
                        for accuracy in ACCURACIES
                        for spread in (SPREADS if num_seeds > 1 else SPREADS[:1])
                    ]
                    cells.append(f"{100 * min(found):.1f} to {100 * max(found):.1f}")
                lines.append(f"| {images.name} | {num_seeds} | {' | '.join(cells)} |")
                print(lines[-1], flush=True)
    RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(RESULT)


if __name__ == "__main__":
    main()
