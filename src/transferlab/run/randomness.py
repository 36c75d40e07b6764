"""Randomness as a pure function: nothing is saved, so a killed run goes on bit-identically.

Batch order depends on (seed, epoch), augmentation on (seed, epoch, sample, occurrence), dropout on
(seed, epoch, batch index, rank). Whoever needs randomness derives a seed here from such a tuple.
"""

from __future__ import annotations

import hashlib


def derived_seed(*parts: int | str) -> int:
    """A seed in [0, 2**63) that depends on every part and on their order.

    >>> derived_seed("batch order", 0, 1) == derived_seed("batch order", 0, 1)
    True
    >>> derived_seed("batch order", 0, 1) == derived_seed("batch order", 1, 0)
    False
    """
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
