"""Each sample of a part, in each of its views, once: for what is computed of it once and kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from transferlab.data.loading.dataset import Batch, as_is, stacked
from transferlab.data.loading.workers import batch_loader, choose_workers
from transferlab.data.module import TRAINED_ON, DataModule


class Views(Dataset[Batch]):
    """The views of a part at positions 0 .. views x samples - 1: all first views, then all second ones.

    Parts that are not trained on, and all parts where training shows no fixed number of views, have one: the
    image as evaluation sees it.

    Attributes:
        keys: what tells each of them apart from every other image, here and in other runs.
        depends_on: what its pixels depend on besides, as JSON has it.
    """

    def __init__(self, data: DataModule, part: str) -> None:
        self.num_views = data.views if part in TRAINED_ON else None
        self.images = data.images(part, augmented=self.num_views is not None)
        self._domain = "target" if part == "target_train" else "source"
        catalog = data.catalog(part)
        contents: list[str] = catalog.table["content"].tolist()
        named = list(zip(contents, catalog.samples, strict=True))
        self.keys = contents
        if self.num_views is not None:
            views = range(self.num_views)
            self.keys = [
                f"{content} {self._domain} {name} {view}" for view in views for content, name in named
            ]
        self.depends_on: dict[str, Any] = {
            "preprocessing": asdict(data.preprocessing),
            "reader": type(catalog.reader).__name__,
            "augmentation": None if self.num_views is None else data.augmentation.identity,
        }
        self._workers = choose_workers(data.num_workers, in_memory=catalog.reader.in_memory)

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
        return batch_loader(self, batches, num_workers=self._workers, collate=as_is)

    def _view(self, position: int) -> torch.Tensor:
        number, row = divmod(position, len(self.images))
        return self.images[row] if self.num_views is None else self.images.view(self._domain, row, number)
