"""Folders of very many small JPEGs, all different, written in seconds."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = 20
PICTURES = 200  # drawn anew; all others differ from one of them by a comment in the file alone
SIZE_PX = (64, 48)
LONG_AGO_S = 1_600_000_000  # files changed a moment ago are not trusted by the index


def write_images(root: Path, count: int) -> Path:
    """`count` JPEGs below `root`, in a folder for each of 20 classes; no two files have the same bytes."""
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(PICTURES):
        small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        file = io.BytesIO()
        small.resize(SIZE_PX, Image.Resampling.BICUBIC).save(file, "JPEG", quality=80)
        pictures.append(file.getvalue())
    for number in range(CLASSES):
        (root / f"class_{number:02d}").mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = root / f"class_{number % CLASSES:02d}" / f"image_{number:07d}.jpg"
        path.write_bytes(with_comment(pictures[number % PICTURES], f"{number:08d}".encode()))
        os.utime(path, (LONG_AGO_S, LONG_AGO_S))
    return root


def with_comment(jpeg: bytes, comment: bytes) -> bytes:
    """The same picture in other bytes: a comment behind the mark at its start."""
    return jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]
