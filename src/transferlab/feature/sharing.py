"""Features computed by several processes and stored by the first: each runs its share of the images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor, distributed

from transferlab.data.loading.sampler import Share
from transferlab.feature.rows import Rows
from transferlab.feature.store import FeatureSpace, StoreUnusable

Computed = Iterator[tuple[list[int], Tensor]]


def shared_rows(
    space: FeatureSpace,
    keys: Sequence[str],
    compute: Callable[[Sequence[int]], Computed],
    *,
    share: Share,
    batch_size: int,
) -> Rows:
    """`space.rows(keys, compute)`, called in all processes of a training at the same time.

    The first process looks into the store; all compute what is not there, every `world_size`-th image each.
    (Lightning's own way, `Trainer.predict`, cannot be used within a fit, where a boundary moves.)

    Args:
        space: where the features are stored.
        keys: one per image.
        compute: yields `batch_size` of these positions at a time, at last fewer, with their features.
        share: of this process.
        batch_size: see `compute`.

    Raises:
        StoreFull, StoreUnusable: the store's error in the first process; the others raise StoreUnusable.
    """
    if share.world_size == 1:
        return space.rows(keys, compute)
    if share.rank > 0:
        positions, refusal = _from_first(None)
        if positions:
            _send_share(compute, positions, share, batch_size)
            _, refusal = _from_first(None)
        if refusal is not None:
            raise StoreUnusable(refusal)
        return space.rows(keys, compute)

    def computed(positions: list[int]) -> Computed:
        _from_first((positions, None))
        return _gathered(compute, positions, share, batch_size)

    refusal = None
    try:
        return space.rows(keys, computed)
    except BaseException as error:
        refusal = str(error)
        raise
    finally:
        _from_first(([], refusal))


def _from_first(message: tuple[list[int], str | None] | None) -> tuple[list[int], str | None]:
    """The first process's message, in all of them: positions to compute, a refusal; the others give None."""
    messages: list[Any] = [message]
    distributed.broadcast_object_list(messages, src=0)
    return messages[0]


def _send_share(
    compute: Callable[[Sequence[int]], Computed], positions: list[int], share: Share, batch_size: int
) -> None:
    batches = compute(positions[share.rank :: share.world_size])
    for _ in range(_num_steps(positions, share, batch_size)):
        distributed.gather_object(next(batches, None), dst=0)


def _gathered(
    compute: Callable[[Sequence[int]], Computed], positions: list[int], share: Share, batch_size: int
) -> Computed:
    """In the first process: everyone's batches; if they are not wanted any more, the others still finish."""
    batches = compute(positions[:: share.world_size])
    steps = iter(range(_num_steps(positions, share, batch_size)))
    everyones: list[Any] = [None] * share.world_size
    try:
        for _ in steps:
            distributed.gather_object(next(batches, None), everyones, dst=0)
            yield from [batch for batch in everyones if batch is not None]
    finally:
        for _ in steps:
            distributed.gather_object(None, everyones, dst=0)


def _num_steps(positions: list[int], share: Share, batch_size: int) -> int:
    largest_share = -(-len(positions) // share.world_size)
    return -(-largest_share // batch_size)
