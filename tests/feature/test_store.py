"""The feature store: computed once, kept under a key, given up when the disk fails."""

from __future__ import annotations

import errno
import os
import zlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from tests.feature.stored import (
    ABOUT,
    FOLDER,
    WIDTH,
    Network,
    fill,
    forbidden,
    keys_of,
    missing,
    space,
    true_features,
)
from transferlab.feature.layout import clear, listed, shard_name
from transferlab.feature.shard import write_shard
from transferlab.feature.store import FeatureSpace, StoreUnusable
from transferlab.run import cache


def test_computed_once_and_read_back():
    keys = keys_of(range(10))
    network = Network(keys)
    rows = space().rows(keys, network)
    assert torch.equal(rows.all(), true_features(keys))
    assert (rows.shape, rows.dtype, len(rows), rows.notes) == ((10, WIDTH), torch.float32, 10, ())
    assert network.computed == keys
    again = space().rows(keys[::-1], forbidden)
    assert torch.equal(again.all(), true_features(keys[::-1]))
    assert torch.equal(again.take([9, 0, 0]), true_features([keys[0], keys[9], keys[9]]))
    assert torch.equal(again.take(torch.tensor([3])), true_features([keys[6]]))


def test_only_what_is_missing_is_computed_and_no_key_twice():
    fill(range(3, 6))
    keys = keys_of([5, 9, 1, 9, 4, 1])
    assert missing(keys) == 2
    network = Network(keys)
    rows = space().rows(keys, network)
    assert network.computed == keys_of([9, 1])
    assert torch.equal(rows.all(), true_features(keys))
    assert missing(keys) == 0
    assert missing(keys, weights="other") == 4


def test_a_buffer_that_compute_uses_again_is_copied():
    keys = keys_of(range(4))
    buffer = torch.empty(2, WIDTH)

    def compute(positions):
        for pair in (positions[:2], positions[2:]):
            buffer[:] = true_features([keys[position] for position in pair])
            yield pair, buffer

    assert torch.equal(space().rows(keys, compute).all(), true_features(keys))


@pytest.mark.parametrize(
    "changes",
    [
        {"network": "resnet50"},
        {"weights": "10"},
        {"boundary": 4},
        {"image_size": 225},
        {"precision": "16-mixed"},
        {"transform": {"mean": [0.5, 0.5, 0.4], "interpolation": "bicubic"}},
        {"transform": {"mean": [0.5, 0.5, 0.5], "interpolation": "bilinear"}},
        {"dtype": "float16"},
        {"versions": {"torch": "2.5", "timm": "1.0.21"}},
        {"boundary": "5"},
        {"boundary": None},
        {"more": 1},
    ],
)
def test_the_key_changes_with_each_part(changes):
    assert space().key == space().key == FeatureSpace(dict(reversed(ABOUT.items())), most_gib=2.0).key
    assert space(**changes).key != space().key


def test_a_key_of_something_else():
    with pytest.raises(TypeError, match="not JSON serializable"):
        space(weights=Path("x"))
    with pytest.raises(ValueError, match="Out of range float"):
        space(weights=float("nan"))


def test_a_read_only_store_can_be_read(monkeypatch):
    fill(range(4))

    def refused(*arguments, **options):
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", refused)
        patch.setattr(os, "utime", refused)
        patch.setattr(cache, "_try", refused)
        assert len(space().rows(keys_of(range(4)), forbidden)) == 4
        with pytest.raises(StoreUnusable) as caught:
            space().rows(keys_of(range(5)), forbidden)
    assert str(caught.value) == (
        "The feature store store cannot be used: Read-only file system. "
        "TRANSFERLAB_CACHE=DIR in the environment puts it elsewhere."
    )


def test_a_full_disk(small_shards, monkeypatch):
    original = Path.write_bytes

    def full(self, content):
        if len(list(self.parent.glob("*.safetensors"))) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(self, content)

    keys = keys_of(range(20))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(StoreUnusable, match="No space left on device"):
            space().rows(keys, Network(keys))
    assert missing(keys) == 12
    assert all(path.suffix != ".making" for path in FOLDER.rglob("*"))
    rest = Network(keys)
    assert torch.equal(space().rows(keys, rest).all(), true_features(keys))
    assert rest.computed == keys_of(range(8, 20))


def test_a_store_that_is_cleared_meanwhile(small_shards):
    keys = keys_of(range(20))

    def cleared(positions):
        for number, chunk in enumerate(Network(keys)(positions)):
            if number == 3:
                clear(FOLDER)
            yield chunk

    assert torch.equal(space().rows(keys, cleared).all(), true_features(keys))
    assert missing(keys) == 12
    assert [found.about for found in listed(FOLDER)] == [ABOUT]


def test_an_error_of_compute_is_its_own_and_keeps_what_is_done():
    keys = keys_of(range(10))

    def breaks(positions):
        yield positions[:6], true_features(keys[:6])
        raise FileNotFoundError("an image is gone")

    with pytest.raises(FileNotFoundError, match="an image is gone"):
        space().rows(keys, breaks)
    rest = Network(keys)
    space().rows(keys, rest)
    assert rest.computed == keys[6:]


BROKEN = {
    "too few": (lambda positions: [(positions[:1], torch.zeros(1, 2))], r"did not yield the rows \[1, 2\]"),
    "twice": (lambda positions: [(positions, torch.zeros(3, 2))] * 2, "not asked for, or twice"),
    "twice in a chunk": (lambda positions: [([0, 0], torch.zeros(2, 2))], "not asked for, or twice"),
    "not asked": (lambda positions: [([7], torch.zeros(1, 2))], "not asked for, or twice"),
    "lengths": (lambda positions: [(positions, torch.zeros(2, 2))], "not asked for, or twice"),
    "shapes": (
        lambda positions: [([0], torch.zeros(1, 2)), ([1, 2], torch.zeros(2, 3))],
        r"rows of \(3,\) torch.float32 after rows of \(2,\) torch.float32",
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_compute_that_breaks_its_contract(broken):
    compute, text = BROKEN[broken]
    with pytest.raises(ValueError, match=text):
        space().rows(keys_of(range(3)), compute)


def test_an_about_that_does_not_tell_features_apart():
    fill(range(3))
    with pytest.raises(ValueError, match="`about` must distinguish them"):
        space().rows(keys_of(range(4)), Network(keys_of(range(4)), dtype=torch.float16))


def test_no_keys():
    with pytest.raises(ValueError, match="no keys"):
        space().rows([], forbidden)


def test_features_of_several_shapes_are_computed_again():
    """A shard that is whole, but of other features."""
    keys = keys_of(range(10))
    fill(range(5))
    write_shard(space().folder, keys[5:], torch.zeros(5, WIDTH + 1), lambda num_bytes: None)
    network = Network(keys)
    rows = space().rows(keys, network)
    assert torch.equal(rows.all(), true_features(keys))
    assert network.computed == keys
    assert all("holds features of several shapes" in note for note in rows.notes)


def test_keys_that_are_no_texts():
    fill(range(5))
    content = save({"features": torch.zeros(1, WIDTH)}, {"keys": "[[1]]"})
    (space().folder / shard_name(1, zlib.crc32(content))).write_bytes(content)
    assert torch.equal(space().rows(keys_of(range(5)), forbidden).all(), true_features(keys_of(range(5))))
