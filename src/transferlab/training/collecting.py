"""Collects a model's outputs over a part of the data, on one process or several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


class Outputs:
    """Class probabilities, labels and sample indices, batch by batch."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._rows: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def add(self, logits_NC: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> None:
        """Take the class scores of a batch with its `index` and, where known, its `label`."""
        index_N = batch["index"].cpu()
        labels_N = batch["label"].cpu() if "label" in batch else torch.full_like(index_N, -1)
        self._rows.append((logits_NC.detach().double().softmax(1).cpu(), labels_N, index_N))

    def gathered(self) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities `(N, C)` and labels `(N,)` of all processes, in the order of the samples.

        Labels are -1 where unknown. Every process gets all of it; each sample counts once.
        """
        rows = self._rows
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            everyones: list[Any] = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(everyones, rows)
            rows = [row for of_process in everyones for row in of_process]
        if not rows:
            return np.zeros((0, 0)), np.zeros(0, dtype=np.int64)
        probabilities, labels, index = (torch.cat(column) for column in zip(*rows, strict=True))
        order = index.argsort()
        return probabilities[order].numpy(), labels[order].numpy()
