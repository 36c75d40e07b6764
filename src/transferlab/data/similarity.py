"""Images that look alike: recompressed, resized or slightly changed copies."""

from __future__ import annotations

from itertools import combinations, pairwise

import cv2
import numpy as np

NEAR_BITS = 6
NEAR_GREY_LEVELS = 8.0
MOST_ALIKE = 10  # pairs an image; with more of them, looking alike says nothing of being a copy
LOOKED_AT_FIRST = 2000
_NUM_BANDS = 9
_PORTION = 2**14  # pairs of thumbnails that are compared at once


def perceptual_hash(pixels_HW3: np.ndarray) -> int:
    """64 bits: the signs of the lowest frequencies of a 32x32 grey thumbnail about their median.

    The "pHash" of Zauner (2010), Implementation and Benchmarking of Perceptual Image Hash Functions.
    """
    frequencies = cv2.dct(thumbnail(pixels_HW3, 32).astype(np.float32))[:8, :8].ravel()
    bits = frequencies > np.median(frequencies[1:])
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def thumbnail(pixels_HW3: np.ndarray, size_px: int) -> np.ndarray:
    """Grey, uint8, shape (size_px, size_px)."""
    grey = cv2.cvtColor(np.ascontiguousarray(pixels_HW3), cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (size_px, size_px), interpolation=cv2.INTER_AREA)


def look_alike_by_nature(hashes_N: np.ndarray, thumbnails_NSS: np.ndarray) -> bool:
    """True if so many images look alike, as drawn digits do, that it is no sign of a copy.

    Judged by some 2000 of them, evenly spread, as comparing all with all would take hours then. Arguments
    are those of `similar_pairs`.
    """
    step = -(-len(hashes_N) // LOOKED_AT_FIRST) or 1
    num_pairs = len(similar_pairs(hashes_N[::step], thumbnails_NSS[::step])) * step**2
    return num_pairs > MOST_ALIKE * len(hashes_N)


def similar_pairs(hashes_N: np.ndarray, thumbnails_NSS: np.ndarray) -> np.ndarray:
    """Pairs (i, j), i < j, whose hashes differ in at most 6 bits and thumbnails by at most 8 grey levels.

    Hashes are uint64, thumbnails uint8, shape (N, 16, 16) or so; the pairs, shape (P, 2), are sorted.
    """
    values_V, value_of_N = np.unique(hashes_N, return_inverse=True)
    rows_N, sizes_V = np.argsort(value_of_N, kind="stable"), np.bincount(value_of_N, minlength=len(values_V))
    starts_V = np.cumsum(sizes_V) - sizes_V  # of each value's rows in rows_N
    several = np.flatnonzero(sizes_V > 1)
    one_M, other_M = np.concatenate([_near_values(values_V), np.stack([several, several], axis=1)]).T
    sizes_M = sizes_V[one_M] * sizes_V[other_M]
    ends_M = np.cumsum(sizes_M)
    found = [np.zeros((0, 2), dtype=np.int64)]
    for start in range(0, int(sizes_M.sum()), _PORTION):  # every row of one value with every row of the other
        place = np.arange(start, min(start + _PORTION, int(ends_M[-1])))
        pair = np.searchsorted(ends_M, place, side="right")
        place -= ends_M[pair] - sizes_M[pair]
        first, second = np.divmod(place, sizes_V[other_M[pair]])
        once = (one_M[pair] != other_M[pair]) | (first < second)
        pair, first, second = pair[once], first[once], second[once]
        rows = np.stack([starts_V[one_M[pair]] + first, starts_V[other_M[pair]] + second], axis=1)
        rows = np.sort(rows_N[rows], axis=1)
        found.append(rows[_look_alike(thumbnails_NSS[rows[:, 0]], thumbnails_NSS[rows[:, 1]])])
    pairs_P2 = np.concatenate(found)
    return pairs_P2[np.lexsort((pairs_P2[:, 1], pairs_P2[:, 0]))]


def _look_alike(one_PSS: np.ndarray, other_PSS: np.ndarray) -> np.ndarray:
    return np.abs(one_PSS.astype(np.int16) - other_PSS).mean(axis=(1, 2)) <= NEAR_GREY_LEVELS


def _near_values(values_V: np.ndarray) -> np.ndarray:
    """Pairs of places (M, 2) of different values that differ in at most 6 bits, each once.

    Two such values are equal in at least three of nine bands of bits, so only those that share three are
    compared: of a million random ones each is compared with some forty, not with all.
    """
    edges = [round(64 * band / _NUM_BANDS) for band in range(_NUM_BANDS + 1)]
    bands = [(1 << end) - (1 << start) for start, end in pairwise(edges)]
    found = [np.zeros(0, dtype=np.int64)]
    for shared in combinations(bands, _NUM_BANDS - NEAR_BITS):
        key = values_V & np.uint64(sum(shared))
        order = np.argsort(key)
        key, sorted_V = key[order], values_V[order]
        places, ahead = np.arange(len(key) - 1), 1
        while len(places := places[key[places] == key[places + ahead]]):
            near = places[_num_ones(sorted_V[places] ^ sorted_V[places + ahead]) <= NEAR_BITS]
            one, other = order[near], order[near + ahead]
            found.append(np.minimum(one, other) * len(key) + np.maximum(one, other))
            ahead += 1
            places = places[places + ahead < len(key)]
    return np.stack(np.divmod(np.unique(np.concatenate(found)), max(1, len(values_V))), axis=1)


def _num_ones(values: np.ndarray) -> np.ndarray:
    return np.unpackbits(values.view(np.uint8).reshape(len(values), 8), axis=1).sum(1)
