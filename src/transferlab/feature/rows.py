"""Features of images in the order of their keys, read from memory-mapped shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

import torch
from torch import Tensor

from transferlab.feature.shard import Shard
from transferlab.run.cache import GIB

IN_MEMORY_BYTES = GIB  # what several shards may take to be joined in memory


class Places:
    """Where the features of keys are: the row of each key, counted through all `shards`."""

    def __init__(self) -> None:
        self.shards: list[Shard] = []
        self.row: dict[str, int] = {}
        self._end = 0

    def in_shard(self, shard: Shard, wanted: Set[str]) -> dict[str, int]:
        """The rows that the wanted keys would have if this shard came next."""
        return {key: row for row, key in enumerate(shard.keys, self._end) if key in wanted}

    def add(self, shard: Shard, row: Mapping[str, int]) -> None:
        """Put the shard after the others, with its keys' rows."""
        self.shards.append(shard)
        self.row.update(row)
        self._end += len(shard.keys)


class Rows:
    """N rows of features, `shape` (N, ...), on the CPU.

    They stay readable when the store deletes its files. Do not write into what `all` returns.

    Attributes:
        notes: what was wrong with the store and was put right.
    """

    def __init__(self, keys: Sequence[str], places: Places, notes: Sequence[str] = ()) -> None:
        """Rows for `keys`, at least one, all of which have their places."""
        self.notes = tuple(notes)
        self._shards = [shard.features for shard in places.shards]
        first = self._shards[0]
        self.dtype = first.dtype
        self.shape = torch.Size((len(keys), *first.shape[1:]))
        row_N = torch.tensor([places.row[key] for key in keys])
        ends = torch.tensor([len(shard) for shard in self._shards]).cumsum(0)
        self._shard_N = torch.searchsorted(ends, row_N, right=True)
        self._row_N = row_N - torch.cat([ends.new_zeros(1), ends])[self._shard_N]
        self._joins = first[:1].nbytes * len(keys) <= IN_MEMORY_BYTES
        self._joined: Tensor | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def take(self, positions: Tensor | Sequence[int]) -> Tensor:
        """A new tensor (len(positions), ...) of the rows at `positions`, int64 in 0 .. N-1."""
        positions = torch.as_tensor(positions, dtype=torch.int64)
        if len(self._shards) == 1:
            return self._shards[0].index_select(0, self._row_N[positions])
        if self._joins:
            return self.all().index_select(0, positions)
        return self._gathered(positions)

    def all(self) -> Tensor:
        """All rows; without a copy when they follow each other in one shard."""
        if self._joined is not None:
            return self._joined
        rows = self._joined_runs()
        if self._joins:
            self._joined = rows
        return rows

    def _joined_runs(self) -> Tensor:
        """Runs of rows that follow each other are copied as such: several times as fast as one by one."""
        ends = ((self._row_N.diff() != 1) | (self._shard_N.diff() != 0)).nonzero().squeeze(1) + 1
        if len(ends) > 4 * len(self._shards):
            return self._gathered(torch.arange(len(self)))
        starts = [0, *ends.tolist()]
        runs = [
            self._shards[self._shard_N[start]].narrow(0, int(self._row_N[start]), end - start)
            for start, end in zip(starts, [*starts[1:], len(self)], strict=True)
        ]
        return torch.cat(runs) if len(runs) > 1 else runs[0]

    def _gathered(self, positions: Tensor) -> Tensor:
        """One gather per shard."""
        taken = torch.empty((len(positions), *self.shape[1:]), dtype=self.dtype)
        shard, row = self._shard_N[positions], self._row_N[positions]
        for number in shard.unique().tolist():
            at = (shard == number).nonzero().squeeze(1)
            taken.index_copy_(0, at, self._shards[number].index_select(0, row[at]))
        return taken
