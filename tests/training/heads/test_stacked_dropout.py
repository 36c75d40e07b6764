"""Dropout of many heads draws what torch's dropout draws for each of them."""

from __future__ import annotations

import torch
from torch import nn

from tests.training.heads.problem import NUM_FEATURES, job, mlp
from transferlab.run.randomness import derived_seed
from transferlab.training.heads.stacked_dropout import StackedDropout, dropped_shares

WIDTHS = (NUM_FEATURES, 9, 7)


def test_shares():
    assert dropped_shares(job(head_dropout=0.1, head=mlp(0, 0.3))) == (0.1, 0.3, 0.3)
    assert dropped_shares(job(head_dropout=0.1)) == (0.1,)


def test_equals_dropout_of_each():
    jobs = [
        job(0, head=mlp(0, 0.5), head_dropout=0.2),
        job(0, head=mlp(1, 0.5), head_dropout=0.2),  # the same numbers
        job(0, head=mlp(0, 0.3), head_dropout=0.2),
        job(1, head=mlp(0, 0.5)),
    ]
    stacked = StackedDropout(jobs, NUM_FEATURES)
    assert stacked.before_the_head
    places = [0, 1, 2, 3]
    for epoch, batch, batch_size in ((0, 0, 5), (0, 1, 5), (2, 0, 3)):
        if epoch == 2:
            places = [1, 3]
            stacked.keep(places)
        factors = stacked.draw(epoch, batch, batch_size)
        for place, position in enumerate(places):
            torch.manual_seed(derived_seed("step", jobs[position].seed, epoch, batch, 0))
            for width, share, found in zip(WIDTHS, dropped_shares(jobs[position]), factors, strict=True):
                wanted = nn.functional.dropout(torch.ones(batch_size, width), share)
                assert torch.equal(found[place], wanted)


def test_none_where_nothing_is_dropped():
    stacked = StackedDropout([job(0, head=mlp(0, 0.5)), job(1, head=mlp(0))], NUM_FEATURES)
    assert not stacked.before_the_head
    before, first, second = stacked.draw(0, 0, 4)
    assert before is None
    assert first[1].eq(1).all()
    assert second.shape == (2, 4, 7)
