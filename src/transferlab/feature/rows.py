"""Features of images in the order they were asked for, read from memory-mapped shards."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from transferlab.feature.shard import Shard
from transferlab.run.cache import GIB

IN_MEMORY_BYTES = GIB  # what several shards may take to be joined in memory


class Rows:
    """N rows of features, `shape` (N, ...), on the CPU.

    They stay readable when the store deletes its files. Do not write into what `all` returns.

    Attributes:
        notices: what was wrong with the store and has been mended.
    """

    def __init__(self, places: Sequence[tuple[Shard, int]], notices: Sequence[str] = ()) -> None:
        """The shard and the row in it of each image; at least one."""
        self.notices = tuple(notices)
        numbers: dict[Shard, int] = {}
        for shard, _ in places:
            numbers.setdefault(shard, len(numbers))
        self._parts = [shard.features for shard in numbers]
        self._part_N = torch.tensor([numbers[shard] for shard, _ in places])
        self._row_N = torch.tensor([row for _, row in places])
        first = self._parts[0]
        self.dtype = first.dtype
        self.shape = torch.Size((len(places), *first.shape[1:]))
        self._joins = first[:1].nbytes * len(places) <= IN_MEMORY_BYTES
        self._joined: Tensor | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def take(self, positions: Tensor | Sequence[int]) -> Tensor:
        """A new tensor (len(positions), ...) of the rows at `positions`, int64 in 0 .. N-1."""
        positions = torch.as_tensor(positions, dtype=torch.int64)
        if len(self._parts) == 1:
            return self._parts[0].index_select(0, self._row_N[positions])
        if self._joins:
            return self.all().index_select(0, positions)
        return self._gathered(positions)

    def all(self) -> Tensor:
        """All rows; without a copy when they are a whole shard in its order."""
        if self._joined is not None:
            return self._joined
        [first, *others] = self._parts
        if not others and torch.equal(self._row_N, torch.arange(len(first))):
            return first
        rows = self._gathered(torch.arange(len(self)))
        if self._joins:
            self._joined = rows
        return rows

    def _gathered(self, positions: Tensor) -> Tensor:
        """One gather a shard."""
        taken = torch.empty((len(positions), *self.shape[1:]), dtype=self.dtype)
        part, row = self._part_N[positions], self._row_N[positions]
        for number in part.unique().tolist():
            at = (part == number).nonzero().squeeze(1)
            taken.index_copy_(0, at, self._parts[number].index_select(0, row[at]))
        return taken
