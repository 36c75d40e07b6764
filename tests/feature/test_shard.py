"""Shards: verified, and written as time or bytes have gathered."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from tests.feature.stored import (
    ABOUT,
    FOLDER,
    ROW_GIB,
    Network,
    fill,
    forbidden,
    keys_of,
    missing,
    space,
    true_features,
)
from transferlab.feature import shard as shard_module
from transferlab.feature import store as store_module
from transferlab.feature.layout import listed, shard_files
from transferlab.feature.store import StoreUnusable


def flip_a_byte(path: Path, position: int = -3) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "a flipped byte of a value": flip_a_byte,
    "a flipped byte of a key": lambda path: flip_a_byte(path, path.read_bytes().index(b"0001/0")),
    "a flipped byte of the length": lambda path: flip_a_byte(path, 2),
    "cut short": lambda path: os.truncate(path, path.stat().st_size - 1),
    "cut to the header": lambda path: os.truncate(path, 100),
    "empty": lambda path: os.truncate(path, 0),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "not ours": lambda path: path.write_bytes(b"foreign " * 100),
    "of other rows": lambda path: path.rename(path.with_name(path.name.replace("4-", "5-", 1))),
    "under another checksum": lambda path: path.rename(path.with_name("4-00000000.safetensors")),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found_and_mended(damage, small_shards):
    keys = keys_of(range(8))
    fill(range(8))
    path = next(file.path for file in shard_files(space().folder) if b"0001/0" in file.path.read_bytes())
    DAMAGE[damage](path)
    again = Network(keys)
    rows = space().rows(keys, again)
    assert torch.equal(rows.all(), true_features(keys))
    assert again.computed == keys_of(range(4))
    (note,) = rows.notes
    assert note.startswith("Stored features were damaged and are computed again: store/")
    assert space().rows(keys, forbidden).notes == ()
    assert [file.num_rows for file in shard_files(space().folder)] == [4, 4]


def test_a_lost_shard_is_computed_again(small_shards):
    fill(range(8))
    shard_files(space().folder)[0].path.unlink()
    assert missing(keys_of(range(8))) == 4
    assert torch.equal(fill(range(8)).all(), true_features(keys_of(range(8))))


def test_other_files_are_left_alone():
    fill(range(4))
    for name in ("notes.txt", "4-xyz.safetensors", "model.safetensors"):
        (space().folder / name).write_text("foreign")
    (FOLDER / "mine").mkdir()
    (FOLDER / "mine" / "4-00000000.safetensors").write_text("foreign")
    (space().folder / "about.json").write_text("{")
    fill(range(6), most_gib=ROW_GIB * 100)
    assert len(list(space().folder.iterdir())) == 3 + 3
    assert (FOLDER / "mine" / "4-00000000.safetensors").exists()
    assert listed(FOLDER)[0].about == ABOUT  # written anew


def test_a_file_in_the_spaces_place():
    FOLDER.mkdir()
    space().folder.write_text("foreign")
    with pytest.raises(StoreUnusable, match=r"^The feature store store cannot be used: "):
        fill(range(4))


def test_verified_once_a_process(monkeypatch):
    sums = []
    original = shard_module.zlib.crc32
    monkeypatch.setattr(shard_module.zlib, "crc32", lambda content: sums.append(1) or original(content))
    fill(range(4))
    assert len(sums) == 2  # written, and read back
    fill(range(4))
    assert len(sums) == 2
    shard_module._verified.clear()  # another process
    fill(range(4))
    assert len(sums) == 3
    fill(range(4), weights="other")
    assert len(sums) == 5


def test_many_small_requests_are_joined(monkeypatch):
    monkeypatch.setattr(store_module, "MOST_SMALL", 5)
    before = fill([0])
    for image in range(1, 20):
        fill([image])
    files = shard_files(space().folder)
    assert len(files) <= 6
    assert sum(file.num_rows for file in files) == 20
    assert torch.equal(space().rows(keys_of(range(20)), forbidden).all(), true_features(keys_of(range(20))))
    assert torch.equal(before.take([0]), true_features(keys_of([0])))


def test_joining_loses_nothing_where_time_cuts_it_up(monkeypatch):
    monkeypatch.setattr(store_module, "MOST_SMALL", 3)
    monkeypatch.setattr(shard_module, "MOST_S", -1.0)  # a joined shard is what one of the small ones was
    for image in range(8):
        fill([image])
    assert missing(keys_of(range(8))) == 0


def test_full_shards_are_not_joined(small_shards, monkeypatch):
    monkeypatch.setattr(store_module, "MOST_SMALL", 1)
    fill(range(12))
    names = {file.path.name for file in shard_files(space().folder)}
    fill(range(16))
    assert names < {file.path.name for file in shard_files(space().folder)}


def test_slow_computations_are_written_as_time_passes(monkeypatch):
    monkeypatch.setattr(shard_module, "MOST_S", -1.0)
    fill(range(10))
    assert sorted(file.num_rows for file in shard_files(space().folder)) == [2, 4, 4]
