"""Each sample of a split, in each of its views, once: for what is computed of it once and stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from transferlab.data.batches import Batches
from transferlab.data.loading.dataset import Batch, batch_loader, stacked
from transferlab.data.loading.workers import choose_workers


class Views(Dataset[Batch]):
    """The views of a split at positions 0 .. views x samples - 1: all first views, then all second ones.

    Splits that are not trained on, and all where training shows no fixed number of views, have one: the image
    as evaluation sees it.

    Attributes:
        keys: unique to each of them among all images, here and in other runs.
        depends_on: what its pixels depend on besides, as JSON.
        preprocessing: normalises them.
    """

    def __init__(self, batches: Batches, name: str) -> None:
        split, settings = batches.splits[name], batches.settings
        self.preprocessing = batches.preprocessing
        self.num_views = batches.views if split.trained_on else None
        self.images = batches.images(name, augmented=self.num_views is not None)
        self._domain, catalog = split.domain, split.catalog
        contents: list[str] = catalog.table["content"].tolist()
        named = list(zip(contents, catalog.samples, strict=True))
        self.keys = contents
        if self.num_views is not None:
            views = range(self.num_views)
            self.keys = [
                f"{content} {self._domain} {name} {view}" for view in views for content, name in named
            ]
        self.depends_on: dict[str, Any] = {
            "preprocessing": asdict(self.preprocessing),
            "reader": type(catalog.reader).__name__,
            "augmentation": None if self.num_views is None else settings.augmentation.identity,
        }
        self._workers = choose_workers(settings.num_workers, in_memory=catalog.reader.in_memory)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitems__(self, positions: list[int]) -> Batch:
        return {"image": stacked([self._view(at) for at in positions]), "position": torch.tensor(positions)}

    def __getitem__(self, position: int) -> Batch:
        return self.__getitems__([position])

    def loader(self, positions: Sequence[int], *, batch_size: int) -> DataLoader[Any]:
        """Batches {"image": uint8 (N, 3, S, S), "position": (N,)} of these positions, in order."""
        starts = range(0, len(positions), batch_size)
        batches = [list(positions[start : start + batch_size]) for start in starts]
        return batch_loader(self, batches, num_workers=self._workers)

    def _view(self, position: int) -> torch.Tensor:
        number, row = divmod(position, len(self.images))
        return self.images[row] if self.num_views is None else self.images.view(self._domain, row, number)
