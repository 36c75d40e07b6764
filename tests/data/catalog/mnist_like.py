"""Small stand-ins for MNIST's files and for a folder of photos."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
from PIL import Image

Arrays = dict[str, np.ndarray]


def digit_arrays(train: int = 40, test: int = 20) -> Arrays:
    """Noise in MNIST's shapes and types, labels 0 to 9 in turn."""
    rng = np.random.default_rng(0)
    arrays: Arrays = {}
    for part, num in (("train", train), ("test", test)):
        arrays[f"x_{part}"] = rng.integers(0, 256, (num, 28, 28), dtype=np.uint8)
        arrays[f"y_{part}"] = (np.arange(num) % 10).astype(np.uint8)
    return arrays


def write_npz(path: Path, **changed: np.ndarray) -> Path:
    """The arrays, some of them changed, as MNIST's .npz file."""
    np.savez_compressed(path, **{**digit_arrays(), **changed})
    return path


def idx_bytes(array: np.ndarray) -> bytes:
    """The array as LeCun's format has it."""
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


def write_idx(folder: Path, *, compressed: bool = False, separator: str = "-") -> Path:
    """The same arrays as MNIST's four idx files."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = digit_arrays()
    for part, stem in (("train", "train"), ("test", "t10k")):
        for key, name in (("x", f"images{separator}idx3-ubyte"), ("y", f"labels{separator}idx1-ubyte")):
            content = idx_bytes(arrays[f"{key}_{part}"])
            file = folder / f"{stem}-{name}"
            if compressed:
                file.with_name(file.name + ".gz").write_bytes(gzip.compress(content))
            else:
                file.write_bytes(content)
    return folder


def write_photos(folder: Path, sizes: list[tuple[int, int]]) -> Path:
    """Different lossless pictures of these widths and heights, in sub-folders."""
    rng = np.random.default_rng(1)
    for number, (width, height) in enumerate(sizes):
        file = folder / f"{number % 2}" / f"{number:02d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(file)
    return folder
