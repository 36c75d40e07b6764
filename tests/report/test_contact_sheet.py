from __future__ import annotations

import numpy as np
import torch

from tests.data.conftest import make_batches  # noqa: F401 (a fixture)
from transferlab.data.augmentation.pipeline import Augmentation
from transferlab.report.contact_sheet import GAP_PX, contact_sheet, spread_over_classes


def test_first_column_is_plain_and_the_others_differ(make_batches):  # noqa: F811
    data = make_batches(image_size_px=16, augmentation=Augmentation(min_crop_area=0.4, brightness=0.8))
    before = torch.get_rng_state()
    images = data.images("train"), data.images("train", augmented=True)
    sheet = contact_sheet(*images)
    assert torch.equal(torch.get_rng_state(), before)
    assert sheet.dtype == np.uint8
    assert sheet.shape == (GAP_PX + 6 * (16 + GAP_PX), GAP_PX + 8 * (16 + GAP_PX), 3)
    row = spread_over_classes(data.splits["train"].catalog.table["label"].to_numpy(dtype=int), 6)[1]
    top = GAP_PX + 16 + GAP_PX
    tiles = [sheet[top : top + 16, left : left + 16] for left in range(GAP_PX, sheet.shape[1], 16 + GAP_PX)]
    batch = next(iter(data.evaluation("train")))
    np.testing.assert_array_equal(tiles[0], batch["image"][row].permute(1, 2, 0))
    assert len({tile.tobytes() for tile in tiles}) == 8
    np.testing.assert_array_equal(sheet, contact_sheet(*images))


def test_all_classes_are_seen_where_there_is_room():
    labels = np.array([2, 2, 2, 0, 1, 1])
    assert labels[spread_over_classes(labels, 3)].tolist() == [0, 1, 2]
    assert sorted(spread_over_classes(labels, 99)) == list(range(6))
