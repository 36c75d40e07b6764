"""A network of one line whose features are kept in a store in the current folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from transferlab.feature.rows import Rows
from transferlab.feature.store import FeatureSpace

ABOUT = {
    "network": "resnet18",
    "weights": "0f",
    "boundary": 5,
    "image_size": 224,
    "precision": "32-true",
    "transform": {"mean": [0.5, 0.5, 0.5], "interpolation": "bicubic"},
    "dtype": "float32",
    "versions": {"torch": "2.5", "timm": "1.0.20"},
}
WIDTH = 8
ROW_GIB = WIDTH * 4 / 2**30
FOLDER = Path("store")


def keys_of(images: range | list[int]) -> list[str]:
    return [f"{image:04x}/0" for image in images]


def true_features(keys: list[str], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """What the network makes of the images: any function of the key alone."""
    images = torch.tensor([int(key.split("/")[0], 16) for key in keys])
    return (images[:, None] * 1.5 + torch.arange(WIDTH) / 8).to(dtype)


class Network:
    """Computes features in chunks and remembers which; in a file too, for other processes."""

    def __init__(self, keys: list[str], chunk: int = 4, dtype: torch.dtype = torch.float32) -> None:
        self.keys, self.chunk, self.dtype = keys, chunk, dtype
        self.computed: list[str] = []

    def __call__(self, positions: list[int]) -> Iterator[tuple[list[int], torch.Tensor]]:
        assert positions == sorted(positions)
        for start in range(0, len(positions), self.chunk):
            part = positions[start : start + self.chunk]
            names = [self.keys[position] for position in part]
            self.computed += names
            with Path("computed.txt").open("a") as file:
                file.write("".join(f"{name}\n" for name in names))
            yield part, true_features(names, self.dtype)


def forbidden(positions: list[int]) -> Iterator[tuple[list[int], torch.Tensor]]:
    raise AssertionError(f"computed {positions}")
    yield


def space(most_gib: float = 1.0, **changes: object) -> FeatureSpace:
    return FeatureSpace({**ABOUT, **changes}, most_gib=most_gib, store=FOLDER)


def fill(images: range | list[int], **changes: object) -> Rows:
    keys = keys_of(images)
    return space(**changes).rows(keys, Network(keys))


def missing(keys: list[str], **changes: object) -> int:
    """The number of rows that are not stored."""
    return len(set(keys).difference(*(shard.keys for shard in space(**changes)._shards())))
