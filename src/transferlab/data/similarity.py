"""Images that look alike: recompressed, resized or slightly changed copies."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations

import cv2
import numpy as np

NEAR_BITS = 6
NEAR_GREY_LEVELS = 8.0
MOST_ALIKE = 10  # pairs an image; with more of them, looking alike says nothing of being a copy
LOOKED_AT_FIRST = 2000


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


def similar_pairs(hashes_N: np.ndarray, thumbnails_NSS: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, whose hashes differ in at most 6 bits and thumbnails by at most 8 grey levels.

    Hashes are uint64, thumbnails uint8, shape (N, 16, 16) or so.

    Two hashes that differ in at most 6 of 64 bits are equal in at least two of 8 bytes, so only those that
    share two are compared.
    """
    same = defaultdict(list)
    for row, value in enumerate(hashes_N.tolist()):
        same[value].append(row)
    candidates = {pair for rows in same.values() for pair in combinations(rows, 2)}
    values = list(same)
    for one, other in _near_values(np.array(values, dtype=np.uint64)):
        candidates.update(
            (min(pair), max(pair))
            for pair in ((i, j) for i in same[values[one]] for j in same[values[other]])
        )
    small = thumbnails_NSS.astype(np.int16)
    return sorted(
        (i, j) for i, j in candidates if float(np.abs(small[i] - small[j]).mean()) <= NEAR_GREY_LEVELS
    )


def _near_values(values: np.ndarray) -> set[tuple[int, int]]:
    bytes_N8 = values.view(np.uint8).reshape(len(values), 8).astype(np.uint16)
    pairs: set[tuple[int, int]] = set()
    for first, second in combinations(range(8), 2):
        key = (bytes_N8[:, first] << 8) | bytes_N8[:, second]
        order = np.argsort(key, kind="stable")
        key, sorted_values = key[order], values[order]
        places, ahead = np.arange(len(values) - 1), 1
        while len(places := places[key[places] == key[places + ahead]]):
            distance = _num_ones(sorted_values[places] ^ sorted_values[places + ahead])
            near = places[distance <= NEAR_BITS]
            both = np.sort(np.stack([order[near], order[near + ahead]], axis=1), axis=1)
            pairs.update(map(tuple, both.tolist()))
            ahead += 1
            places = places[places + ahead < len(values)]
    return pairs


def _num_ones(values: np.ndarray) -> np.ndarray:
    return np.unpackbits(values.view(np.uint8).reshape(len(values), 8), axis=1).sum(1)
