"""Which samples come when: pure functions of (seed, epoch), so that a killed run goes on where it was.

An order is an int array of shape (n, 2): the sample's row and its occurrence, which tells repeated visits
of one epoch apart (it seeds the augmentation).
"""

from __future__ import annotations

import numpy as np

from transferlab.run.randomness import derived_seed


def permutation(num: int, *parts: int | str) -> np.ndarray:
    """A permutation of range(num) that depends on `parts`."""
    return np.random.default_rng(derived_seed(*parts)).permutation(num)


def one_pass(num: int, *, domain: str, seed: int, epoch: int) -> np.ndarray:
    """Every sample once."""
    rows = permutation(num, "batch order", domain, seed, epoch)
    return np.stack([rows, np.zeros_like(rows)], axis=1)


def stream(num: int, *, domain: str, seed: int, start: int, count: int) -> np.ndarray:
    """Places start .. start + count of an endless stream of passes, each with its own permutation.

    The occurrence is the number of the pass.
    """
    passes = range(start // num, (start + count - 1) // num + 1)
    rows = np.concatenate([permutation(num, "stream", domain, seed, number) for number in passes])
    numbers = np.repeat(np.array(passes), num)
    offset = start - passes[0] * num
    return np.stack([rows, numbers], axis=1)[offset : offset + count]


def balanced(labels: np.ndarray, *, domain: str, seed: int, epoch: int, count: int) -> np.ndarray:
    """`count` samples with every class equally often (to within one).

    Classes come in blocks, each a permutation of all classes; within a class samples come in passes, each a
    permutation of its samples, so that none is seen twice before all are seen once.
    """
    classes = np.unique(labels)
    blocks = -(-count // len(classes))
    turns = [permutation(len(classes), "class order", domain, seed, epoch, block) for block in range(blocks)]
    sequence = np.concatenate(turns)[:count]
    order = np.empty((count, 2), dtype=np.int64)
    for code in range(len(classes)):
        places = np.flatnonzero(sequence == code)
        if len(places) == 0:
            continue
        members = np.flatnonzero(labels == classes[code])
        own = stream(
            len(members), domain=f"{domain} {epoch} {classes[code]}", seed=seed, start=0, count=len(places)
        )
        order[places] = np.stack([members[own[:, 0]], own[:, 1]], axis=1)
    return order
