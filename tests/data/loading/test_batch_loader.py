"""Workers that fail, die or cannot hand over a batch end a training with a sentence."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
import torch

from transferlab.data.data_error import DataError
from transferlab.data.loading.batch_loader import batch_loader
from transferlab.data.loading.dataset import EvaluationSet, Images
from transferlab.run.failures import explained


class Catalog:
    samples = ("good.png", "gone.png")
    codes = np.array([0, 1])

    @staticmethod
    def reader(sample: str) -> np.ndarray:
        if sample == "gone.png":
            raise FileNotFoundError(2, "No such file or directory", sample)
        return np.zeros((4, 4, 3), np.uint8)


def batches(num_workers: int, *rows: list[int], columns=None):
    images = Images(Catalog, lambda image: image, cache=False)
    dataset = EvaluationSet(columns or {"image": images}, None)
    return batch_loader(dataset, list(rows), num_workers=num_workers)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_image_that_fails_is_named(num_workers):
    loader = iter(batches(num_workers, [0], [1]))
    assert next(loader)["image"].shape == (1, 3, 4, 4)
    with pytest.raises(DataError) as caught:
        next(loader)
    assert str(caught.value).startswith("gone.png: cannot be read or transformed (FileNotFoundError: ")


class Dies:
    def rows(self, rows):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_dies():
    with pytest.raises(RuntimeError) as caught:
        next(iter(batches(1, [0], columns={"image": Dies()})))
    assert str(explained(caught.value)).startswith("A data worker died (")


class NoRoom(torch.Tensor):
    def share_memory_(self):
        raise RuntimeError("unable to allocate shared memory(shm): No space left on device (28)")


class Column:
    def rows(self, rows):
        return torch.zeros(1000).as_subclass(NoRoom)


def test_no_room_to_hand_a_batch_over():
    with pytest.raises(DataError, match=r"^/dev/shm: .* takes 0\.0 MB\. Fix: data\.num_workers=0"):
        next(iter(batches(1, [0], columns={"image": Column()})))
    assert "image" in next(iter(batches(0, [0], columns={"image": Column()})))  # which hands nothing over
