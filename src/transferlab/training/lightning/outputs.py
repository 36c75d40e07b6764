"""Collects a model's outputs over a split, on one process or several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


class Outputs:
    """Class probabilities, labels and sample indices, batch by batch.

    Args:
        with_features: keep the features, too.
    """

    def __init__(self, *, with_features: bool = False) -> None:
        self.with_features = with_features
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._rows: list[tuple[torch.Tensor, ...]] = []

    def add(
        self, features_ND: torch.Tensor, logits_NC: torch.Tensor, batch: Mapping[str, torch.Tensor]
    ) -> None:
        """Take features and class scores of a batch with its `index` and, where known, its `label`."""
        index_N = batch["index"].cpu()
        labels_N = batch["label"].cpu() if "label" in batch else torch.full_like(index_N, -1)
        row = index_N, logits_NC.detach().double().softmax(1).cpu(), labels_N
        self._rows.append((*row, features_ND.detach().float().cpu()) if self.with_features else row)

    def gathered(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Probabilities `(N, C)`, labels `(N,)` and indices `(N,)` of all processes, sorted by index.

        Labels are -1 where unknown. Every process gets all of it; each sample counts once.
        """
        columns = self._gathered()
        if columns is None:
            return np.zeros((0, 0)), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        return columns[1], columns[2], columns[0]

    def gathered_features(self) -> np.ndarray:
        """Features `(N, D)` of all processes, sorted by index."""
        assert self.with_features
        columns = self._gathered()
        return np.zeros((0, 0)) if columns is None else columns[3]

    def _gathered(self) -> list[np.ndarray] | None:
        rows = self._rows
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            everyones: list[Any] = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(everyones, rows)
            rows = [row for of_process in everyones for row in of_process]
        if not rows:
            return None
        columns = [torch.cat(column) for column in zip(*rows, strict=True)]
        _, first = np.unique(columns[0].numpy(), return_index=True)
        return [column[first].numpy() for column in columns]
