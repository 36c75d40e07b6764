"""Two processes compute what one store keeps."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import distributed

from tests.training.processes import in_child
from transferlab.data.loading.sampler import Share
from transferlab.feature.extractor import shared_rows
from transferlab.feature.store import FeatureSpace, StoreFull, StoreUnusable

KEYS = [f"image {number}" for number in range(11)]


def features(positions):
    return torch.tensor(positions, dtype=torch.float32)[:, None].repeat(1, 3)


def in_two_processes(action) -> None:
    """Run `action(rank)` in two processes that know of each other; both must return."""

    def process(rank: int) -> None:
        place = f"file://{Path.cwd() / 'meeting'}"
        distributed.init_process_group("gloo", init_method=place, rank=rank, world_size=2)
        action(rank)
        distributed.destroy_process_group()

    other = os.fork()
    if other == 0:
        code = 1
        try:  # whatever happens, this child must not go on with the tests
            code = 1 if in_child(lambda: process(1)) else 0
        finally:
            os._exit(code)
    assert in_child(lambda: process(0)) == 0
    assert os.waitpid(other, 0)[1] == 0


def ask(rank: int, *, most_gib: float = 1.0, batch_size: int = 2) -> torch.Tensor:
    def compute(positions):
        for start in range(0, len(positions), batch_size):
            some = list(positions[start : start + batch_size])
            with Path(f"computed by {rank}").open("a") as file:
                file.write("".join(f"{at}\n" for at in some))
            yield some, features(some)

    space = FeatureSpace({"network": "none"}, most_gib=most_gib, store=Path.cwd() / "store")
    return shared_rows(
        space, KEYS, compute, share=Share(rank=rank, world_size=2), batch_size=batch_size
    ).all()


def computed_by(rank: int) -> list[int]:
    return [int(line) for line in Path(f"computed by {rank}").read_text().splitlines()]


@pytest.mark.parametrize("batch_size", [1, 2, 4, 99])
def test_each_computes_its_share_and_both_get_all(batch_size):
    def action(rank: int) -> None:
        assert torch.equal(ask(rank, batch_size=batch_size), features(list(range(11))))
        assert torch.equal(ask(rank, batch_size=batch_size), features(list(range(11))))  # now from the store

    in_two_processes(action)
    assert computed_by(0) == [0, 2, 4, 6, 8, 10]
    assert computed_by(1) == [1, 3, 5, 7, 9]


def test_a_full_store_is_said_in_both():
    def action(rank: int) -> None:
        with pytest.raises(StoreUnusable if rank else StoreFull, match=r"features\.cache_gib"):
            ask(rank, most_gib=1e-12)

    in_two_processes(action)
