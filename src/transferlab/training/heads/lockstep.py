"""Which heads learn in lockstep, and how many at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import torch

from transferlab.strategy.parts import overrides
from transferlab.training.heads.head_job import HeadJob
from transferlab.training.heads.softmax_loss import SoftmaxLoss
from transferlab.training.heads.stacked_dropout import dropped_shares
from transferlab.training.heads.stacked_head import structure
from transferlab.training.heads.stacked_optimizer import options

# Measured on one core with 32 MB of cache, features of 1280. More heads at once are slower for each of them.
_FLOATS_AT_ONCE = 2**22
_FLOATS_OF_A_PARAMETER = 5  # itself, its gradient, two of the optimizer, one in between
_WORTH_SHARING = 8  # so many heads that see the same batches are faster among themselves


def groups_of(jobs: Sequence[HeadJob], features_ND: torch.Tensor, batch_size: int) -> list[list[int]]:
    """The jobs' positions, those that learn together in one list; alone where a job has to or may as well."""
    kinds = [_kind(job, features_ND) for job in jobs]
    seeds = [job.seed if job.head_dropout == 0 else None for job in jobs]
    alike = Counter(zip(kinds, seeds, strict=True))
    groups: dict[Hashable, list[int]] = {}
    for position, (kind, seed) in enumerate(zip(kinds, seeds, strict=True)):
        if kind is None:
            groups["alone", position] = [position]
        else:
            shared = seed is not None and alike[kind, seed] >= _WORTH_SHARING
            groups.setdefault((kind, seed if shared else None), []).append(position)
    return [
        part
        for group in groups.values()
        for part in _parts(group, jobs[group[0]], batch_size * features_ND.shape[1])
    ]


def _kind(job: HeadJob, features_ND: torch.Tensor) -> Hashable | None:
    """Equal for jobs that can learn together; None for one that can not."""
    if job.penalties or SoftmaxLoss.of(job.objective) is None:
        return None
    if overrides(job.objective, "before_step", "after_step", "conclude"):
        return None
    if any(dropped_shares(job)) and (features_ND.device.type != "cpu" or 1 in dropped_shares(job)):
        return None  # a GPU draws other numbers for many than for one
    head = structure(job.head)
    optimizer = None if head is None else options(job.optimizer(features_ND.shape[1]))
    return None if optimizer is None else (head, optimizer)


def _parts(group: list[int], job: HeadJob, floats_of_a_batch: int) -> list[list[int]]:
    """A group in parts of nearly equal size, each small enough for the cache."""
    parameters = sum(parameter.numel() for parameter in job.head.parameters())
    most = max(1, _FLOATS_AT_ONCE // (_FLOATS_OF_A_PARAMETER * parameters + floats_of_a_batch))
    num_parts = -(-len(group) // most)
    return [group[part::num_parts] for part in range(num_parts)]
