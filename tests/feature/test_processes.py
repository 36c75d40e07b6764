"""The feature store with several processes, some of which are killed."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import torch

from tests.feature.processes import children, in_child
from tests.feature.stored import (
    FOLDER,
    Network,
    fill,
    forbidden,
    keys_of,
    missing,
    space,
    true_features,
)
from transferlab.feature.layout import listed, shard_files
from transferlab.run import cache


def test_processes_compute_each_row_once():
    requests = [range(0, 40), range(20, 60), range(50, 10, -1), range(0, 60, 3)]

    def job(number: int) -> None:
        keys = keys_of(requests[number])
        network = Network(keys)

        def slowly(positions):
            for chunk in network(positions):
                time.sleep(0.01)
                yield chunk

        assert torch.equal(space().rows(keys, slowly).all(), true_features(keys))

    assert children(4, job) == [0, 0, 0, 0]
    computed = Path("computed.txt").read_text().split()
    assert sorted(computed) == sorted(keys_of(range(60)))
    assert sum(file.num_rows for file in shard_files(space().folder)) == 60
    assert sorted(path.name for path in FOLDER.iterdir()) == [space().key]


def test_waiting_is_said(monkeypatch, capfd):
    monkeypatch.setattr(cache, "WAIT_S", 0.05)
    keys = keys_of(range(4))

    def first() -> None:
        def slowly(positions):
            Path("started").touch()
            time.sleep(0.5)
            yield from Network(keys)(positions)

        space().rows(keys, slowly)

    def second() -> None:
        while not Path("started").exists():
            time.sleep(0.01)
        space().rows(keys, forbidden)

    assert children(2, lambda number: (first, second)[number]()) == [0, 0]
    assert capfd.readouterr().err == "waiting for another run that computes these features\n"


def test_a_killed_process_leaves_a_usable_store(small_shards):
    keys = keys_of(range(20))

    def killed() -> None:
        def compute(positions):
            for number, chunk in enumerate(Network(keys, chunk=3)(positions)):
                if number == 4:
                    os.kill(os.getpid(), signal.SIGKILL)
                yield chunk

        space().rows(keys, compute)

    assert in_child(killed) == -signal.SIGKILL
    assert missing(keys) == 8  # 12 rows were yielded: three whole shards
    rest = Network(keys)
    rows = space().rows(keys, rest)
    assert rest.computed == keys[12:]
    assert torch.equal(rows.all(), true_features(keys))
    assert sorted(path.name for path in FOLDER.iterdir()) == [space().key]


def test_a_process_killed_while_it_writes(small_shards, monkeypatch):
    keys = keys_of(range(8))

    def killed() -> None:
        monkeypatch.setattr(Path, "replace", lambda self, target: os.kill(os.getpid(), signal.SIGKILL))
        space().rows(keys, Network(keys))

    assert in_child(killed) == -signal.SIGKILL
    assert [path.suffix for path in space().folder.iterdir()] == [".making"]
    assert torch.equal(space().rows(keys, Network(keys)).all(), true_features(keys))
    assert {path.suffix for path in space().folder.iterdir()} == {".safetensors", ".json"}


def test_a_reader_whose_space_is_deleted_keeps_working(small_shards):
    keys = keys_of(range(12))
    rows = fill(range(12))
    single = fill(range(2), network="other")

    def evicts():
        fill(range(4), network="third", most_gib=4e-7)
        assert [found.about["network"] for found in listed(FOLDER)] == ["third"]

    assert in_child(evicts) == 0
    assert torch.equal(rows.take([11, 3]), true_features([keys[11], keys[3]]))
    assert torch.equal(single.take([1]), true_features([keys[1]]))
    assert torch.equal(rows.all(), true_features(keys))
