from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from transferlab.data.loading.sampler import (
    EvaluationBatches,
    Position,
    Share,
    TrainingBatches,
    balanced,
    one_pass,
    stream,
)


def batches(num=20, at=Position(), labels=None, rank=0, world_size=1, **options):  # noqa: B008
    defaults = {
        "num_target": 0,
        "batch_size": 4,
        "target_batch_size": 3,
        "balanced": False,
        "steps_per_epoch": None,
        "seed": 0,
    }
    labels = np.arange(num) % 3 if labels is None else np.array(labels)
    share = Share(lambda num_batches: at, rank, world_size)
    return TrainingBatches(labels, share=share, **{**defaults, **options})


def test_an_epoch_is_one_pass():
    keys = [key for batch in batches(20) for key in batch]
    assert sorted(key.row for key in keys) == list(range(20))
    assert {(key.domain, key.epoch, key.occurrence) for key in keys} == {("source", 0, 0)}


@pytest.mark.parametrize(("num", "sizes"), [(20, [4] * 5), (21, [4] * 5), (4, [4]), (3, [3]), (1, [1])])
def test_incomplete_batches_are_dropped_unless_alone(num, sizes):
    sampler = batches(num)
    assert [len(batch) for batch in sampler] == sizes
    assert len(sampler) == len(sizes)


@pytest.mark.parametrize("options", [{}, {"steps_per_epoch": 7}, {"balanced": True}, {"num_target": 5}])
def test_every_position_continues_the_epoch(options):
    for epoch in (0, 3):
        whole = list(batches(at=Position(epoch), **options))
        for start in range(len(whole)):
            assert list(batches(at=Position(epoch, start), **options)) == whole[start:]


def test_target_is_an_endless_stream_of_permutations():
    seen = []
    for epoch in range(4):
        for batch in batches(at=Position(epoch), num_target=8):
            target = [key for key in batch if key.domain == "target"]
            assert len(target) == 3
            seen += [(key.row, key.occurrence) for key in target]
    passes = [seen[start : start + 8] for start in range(0, 56, 8)]
    for number, visits in enumerate(passes):
        assert sorted(row for row, _ in visits) == list(range(8))
        assert {occurrence for _, occurrence in visits} == {number}
    assert len({tuple(row for row, _ in visits) for visits in passes}) == 7


def test_steps_per_epoch_makes_both_endless():
    sampler = batches(5, steps_per_epoch=10, num_target=2)
    keys = [key for batch in sampler for key in batch if key.domain == "source"]
    assert Counter(key.row for key in keys) == dict.fromkeys(range(5), 8)
    assert len(set(keys)) == 40


def test_a_limit_on_batches_keeps_the_target_stream_without_gaps():
    rows = []
    for epoch in range(3):
        for batch in batches(20, at=Position(epoch, 0, num_batches=2), num_target=6):
            rows += [key.row for key in batch if key.domain == "target"]
    assert len(rows) == 18
    assert all(sorted(rows[start : start + 6]) == list(range(6)) for start in (0, 6, 12))


@pytest.mark.parametrize("world_size", [2, 3])
@pytest.mark.parametrize("num", [25, 7, 2, 1])
def test_ranks_share_the_same_steps(num, world_size):
    shares = [
        list(batches(num, num_target=9, rank=rank, world_size=world_size)) for rank in range(world_size)
    ]
    assert len({len(share) for share in shares}) == 1
    assert all(batch for share in shares for batch in share)
    if num >= 4 * world_size:
        alone = list(batches(num, num_target=9, batch_size=4 * world_size, target_batch_size=3 * world_size))
        for step, whole in enumerate(alone):
            assert Counter(whole) == Counter(key for share in shares for key in share[step])


def test_balanced_draws_classes_equally_often():
    labels = [0] * 90 + [1] * 9 + [2]
    counts = Counter(labels[key.row] for batch in batches(labels=labels, balanced=True) for key in batch)
    assert set(counts.values()) <= {33, 34}
    order = balanced(np.array(labels), domain="source", seed=0, epoch=0, count=99)
    rare = order[np.array(labels)[order[:, 0]] == 1]
    assert set(Counter(rare[:, 0].tolist()).values()) <= {3, 4}  # 33 draws of 9 samples
    assert len({tuple(visit) for visit in order.tolist()}) == 99


def test_order_is_a_function_of_seed_and_epoch():
    def order(seed, epoch):
        return one_pass(50, domain="source", seed=seed, epoch=epoch)[:, 0].tolist()

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


def test_stream_does_not_depend_on_where_it_is_cut():
    whole = stream(7, domain="target", seed=0, start=0, count=40).tolist()
    for cut in range(1, 40):
        first = stream(7, domain="target", seed=0, start=0, count=cut).tolist()
        rest = stream(7, domain="target", seed=0, start=cut, count=40 - cut).tolist()
        assert first + rest == whole


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 3, 8])
@pytest.mark.parametrize("num", range(18))
def test_evaluation_shows_each_sample_and_all_ranks_have_equally_many_batches(num, batch_size, world_size):
    samplers = [
        EvaluationBatches(num, batch_size=batch_size, share=Share(rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    shares = [list(sampler) for sampler in samplers]
    assert {len(share) for share in shares} == {len(sampler) for sampler in samplers} == {len(samplers[0])}
    assert all(0 < len(batch) <= batch_size for share in shares for batch in share)
    shown = Counter(row for share in shares for batch in share for row in batch)
    assert sorted(shown) == list(range(num))
    again = sum(shown.values()) - num
    assert again < world_size  # at most one sample of each rank that has run out
    assert again == 0 or num % (world_size * batch_size)
