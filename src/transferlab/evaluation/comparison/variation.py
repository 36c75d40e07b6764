"""Spread of a metric over seeds and test images together, as a number of effective images.

S trained models (seeds) answer the same N test images, in G groups (a patient, say; an image without a group
is one of its own). A metric differs from its expectation through the seed, through the images, and through
both at once: a two-way layout with random rows and columns (Owen 2007, The pigeonhole bootstrap). Its mean
squares give the variance of the mean over both, and degrees of freedom for Student's t.

`benchmarks/coverage.py` prints the coverage of the intervals that are made from this.
"""

from __future__ import annotations

import numpy as np

FEWEST_SEEDS = 3  # from which on other seeds are covered: the spread of two has one degree of freedom
_UNSEEN = 0.5  # weight, in deviating groups, of the assumption that all images of a group deviate together


def half_width(table_BSG: np.ndarray, *, confidence: float) -> np.ndarray:
    """Half of the width `(B,)` of a symmetric interval for the mean of B tables.

    With `FEWEST_SEEDS` rows or more it covers other rows and other columns, with fewer other columns alone.

    The larger of two. Satterthwaite (1946): the variance (A + B - E) / SG of the mean squares of seeds,
    groups and interaction, with the degrees of freedom that match it; A below E counts as no spread of seeds.
    And the root of the sum of both parts' squared half-widths, the interaction shared out evenly: where the
    spread of three seeds happens to come out small, Satterthwaite alone holds 92 % instead of 95 %.

    Args:
        table_BSG: metric's contribution of each seed and group, at least two groups.
        confidence: in (0, 1).
    """
    from scipy import stats

    if table_BSG.shape[1] < FEWEST_SEEDS:
        table_BSG = table_BSG.mean(1, keepdims=True)
    num_seeds, num_groups = table_BSG.shape[1:]
    tail = (1 + confidence) / 2
    of_groups = stats.t.ppf(tail, num_groups - 1) ** 2
    seeds_B, groups_B, both_B = _mean_squares(table_BSG)
    if num_seeds == 1:
        return np.sqrt(of_groups * groups_B / num_groups)
    of_seeds = stats.t.ppf(tail, num_seeds - 1) ** 2
    total_B = np.maximum(seeds_B - both_B, 0) + groups_B
    uncertain_B = groups_B**2 / (num_groups - 1) + np.where(
        seeds_B > both_B,
        seeds_B**2 / (num_seeds - 1) + both_B**2 / ((num_seeds - 1) * (num_groups - 1)),
        0,
    )
    freedom_B = np.maximum(total_B**2 / np.where(uncertain_B > 0, uncertain_B, 1), num_seeds - 1)
    matched_B = stats.t.ppf(tail, freedom_B) ** 2 * total_B
    summed_B = of_seeds * np.maximum(seeds_B - both_B / 2, 0) + of_groups * np.maximum(
        groups_B - both_B / 2, 0
    )
    return np.sqrt(np.maximum(matched_B, summed_B) / (num_seeds * num_groups))


def _mean_squares(table_BSG: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean squares of seeds, of groups and of their interaction, each `(B,)`; 0 where there is one seed."""
    num_seeds, num_groups = table_BSG.shape[1:]
    mean_B = table_BSG.mean((1, 2))
    seeds_BS = table_BSG.mean(2) - mean_B[:, None]
    groups_BG = table_BSG.mean(1) - mean_B[:, None]
    squares_B = np.square(table_BSG - mean_B[:, None, None]).sum((1, 2))
    of_seeds_B, of_groups_B = num_groups * np.square(seeds_BS).sum(1), num_seeds * np.square(groups_BG).sum(1)
    rest_B = np.maximum(squares_B - of_seeds_B - of_groups_B, 0)
    return (
        of_seeds_B / max(num_seeds - 1, 1),
        of_groups_B / (num_groups - 1),
        rest_B / max((num_seeds - 1) * (num_groups - 1), 1),
    )


def effective_images(
    table_BSG: np.ndarray,
    shares_BSG: np.ndarray,
    variance_B: np.ndarray,
    *,
    most: float,
    fewest: float,
    confidence: float,
) -> np.ndarray:
    """Number `(B,)` of independent images that would tell as much about the metric (Korn & Graubard 1998).

    The variance of one image, divided by that of the metric; Student's t is in it, too. Where few groups
    deviate, little is known of how alike the images of a group or the answers of seeds are, so the estimate
    is drawn towards `fewest`, and is that where none deviates.

    Args:
        table_BSG: as in `half_width`.
        shares_BSG: of the images of each group, the share that deviates: wrong answers, or differing ones.
        variance_B: of one image.
        most: images, over all seeds.
        fewest: groups; both as their weights count (Kish 1965).
        confidence: in (0, 1).
    """
    from scipy import stats

    z = stats.norm.ppf((1 + confidence) / 2)
    width_B = half_width(table_BSG, confidence=confidence)
    found_B = variance_B * z**2 / np.where(width_B > 0, width_B, 1) ** 2
    found_B = np.where(width_B > 0, np.clip(found_B, 1e-3, most), fewest)
    deviating_B = np.minimum((shares_BSG > 0).any(1).sum(1), (shares_BSG < 1).any(1).sum(1))
    least_B = np.minimum(fewest, found_B)
    return (_UNSEEN + deviating_B) / (_UNSEEN / least_B + deviating_B / found_B)
