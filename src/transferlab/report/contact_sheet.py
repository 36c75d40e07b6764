"""Contact sheet: training images after augmentation, as one picture."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from transferlab.data.loading.dataset import Images, seeded
from transferlab.run.randomness import derived_seed

GAP_PX = 4


def contact_sheet(
    plain: Images, augmented: Images, *, num_samples: int = 6, num_versions: int = 7, seed: int = 0
) -> np.ndarray:
    """uint8 RGB: a row for each sample, the image as evaluation sees it and then `num_versions` augmented
    ones.

    Args:
        plain: training images without augmentation.
        augmented: the same samples with it.
        num_samples: rows, at most; classes take turns, so that all are seen where there is room.
        num_versions: augmented images in a row.
        seed: another seed, other versions.
    """
    assert plain.samples == augmented.samples
    rows = []
    for row in spread_over_classes(plain.labels, num_samples):
        images = [plain[row]]
        for version in range(num_versions):
            with seeded(derived_seed("contact sheet", seed, plain.samples[row], version)):
                images.append(augmented[row])
        rows.append(images)
    return tiled(rows)


def spread_over_classes(labels: np.ndarray, num: int) -> list[int]:
    """Rows of the first samples, the classes taking turns.

    >>> spread_over_classes(np.array([0, 0, 0, 1, 1]), 4)
    [0, 3, 1, 4]
    """
    turn = np.zeros(len(labels), dtype=int)
    for code in np.unique(labels):
        members = np.flatnonzero(labels == code)
        turn[members] = np.arange(len(members))
    return np.lexsort((labels, turn))[:num].tolist()


def tiled(rows: list[list[Tensor]]) -> np.ndarray:
    """Images (uint8, shape (3, S, S)) on a white ground with gaps between them: uint8, shape (H, W, 3)."""
    size = rows[0][0].shape[-1]
    step = size + GAP_PX
    sheet = torch.full((3, GAP_PX + len(rows) * step, GAP_PX + len(rows[0]) * step), 255, dtype=torch.uint8)
    for down, images in enumerate(rows):
        for right, image in enumerate(images):
            top, left = GAP_PX + down * step, GAP_PX + right * step
            sheet[:, top : top + size, left : left + size] = image
    return np.ascontiguousarray(sheet.permute(1, 2, 0).numpy())
