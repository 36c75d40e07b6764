"""The feature store: the outputs of a network's frozen layers, computed once for all runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from transferlab.feature.layout import shard_files, space_key, spaces, write_about
from transferlab.feature.rows import Places, Rows
from transferlab.feature.shard import CorruptShard, Shard, ShardWriter
from transferlab.run.cache import GIB, cache_folder, evict, exclusive, mark_used
from transferlab.run.errors import UserError

WAITING = "waiting for another run that computes these features"
MOST_SMALL = 64  # small shards before they are joined on disk

Compute = Callable[[list[int]], Iterable[tuple[list[int], Tensor]]]


class StoreFull(UserError):
    """The features that are asked for take more than the whole store may."""

    def __init__(self, needed_gib: float, most_gib: float) -> None:
        self.needed_gib = needed_gib
        self.most_gib = most_gib
        super().__init__(
            f"features.cache_gib={most_gib:g}: the features asked for take {needed_gib:.3g} GiB. "
            "Allow as much, or do without them with features.cache=off."
        )


class StoreUnusable(UserError):
    """The store's folder cannot be read or written; the text says why. A run can go on without it."""


class FeatureSpace:
    """Stored features that differ in the image alone, and so have one shape and type.

    Spaces of one store take a bounded size together. Safe for any number of processes: one computes, the
    others wait for it and reuse.

    >>> space = FeatureSpace({"network": "resnet18", "boundary": 5}, most_gib=20.0)  # doctest: +SKIP
    >>> space.rows(keys, compute).take([0, 1])  # doctest: +SKIP

    Args:
        about: everything that the features depend on but the image, as JSON; `transferlab features list`
            shows its `network`, `boundary`, `image_size` and `precision`.
        most_gib: GiB that all shards of the store may take, held whenever one is written; the least recently
            used go.
        store: the store's folder; `features` in the cache folder if None. Made when something is written.

    Attributes:
        key: 32 hex digits that any change in `about` changes.
        folder: of its shards.
    """

    def __init__(self, about: Mapping[str, Any], *, most_gib: float, store: Path | None = None) -> None:
        self.key = space_key(about)
        self.store = cache_folder("features") if store is None else store
        self.folder = self.store / self.key
        self.most_gib = most_gib
        self._about = about
        self._notes: list[str] = []

    def rows(self, keys: Sequence[str], compute: Compute) -> Rows:
        """The features of images, in the order of their keys; what is not there is computed and stored.

        Args:
            keys: one per image, at least one, unique to it and its view. A key may come twice.
            compute: given positions in `keys`, ascending, it yields some of them at a time with their
                features (n, ...) until it has yielded each one once. Called at most once, and by one process
                at a time. What it has yielded is stored if it raises.

        Raises:
            StoreFull: they take more than the store may; raised at the first features.
            StoreUnusable: the folder cannot be read or written.
            ValueError: `keys` is empty, or `compute` breaks its contract.
        """
        if not keys:
            raise ValueError("no keys: rows of no image have no shape")
        wanted = set(keys)
        with self._usable():
            places = self._find(wanted)
        if len(places.row) < len(wanted):
            with ExitStack() as stack:
                with self._usable():
                    stack.enter_context(exclusive(self.folder, waiting=WAITING))
                    places = self._find(wanted)
                self._complete(keys, places, compute)
                with suppress(OSError):  # these rows are there already
                    self._join_small()
        kinds = {(shard.features.shape[1:], shard.features.dtype) for shard in places.shards}
        if len(kinds) > 1:
            raise ValueError(f"features of one space differ: {kinds}; `about` must distinguish them")
        notes, self._notes = self._notes, []
        return Rows(keys, places, notes)

    def _find(self, wanted: set[str]) -> Places:
        """Where the rows are that are here and as they were written; other shards are deleted."""
        places, shards = Places(), list(self._shards())
        if len({(shard.features.shape[1:], shard.features.dtype) for shard in shards}) > 1:
            for shard in shards:  # which are right is not known
                self._drop(shard.file.path, CorruptShard(f"{self.folder} holds features of several shapes"))
            return places
        for shard in shards:
            rows = places.in_shard(shard, wanted)
            if not rows.keys() <= places.row.keys() and self._is_whole(shard):
                mark_used(shard.file.path)
                places.add(shard, rows)
        return places

    def _shards(self) -> Iterator[Shard]:
        for file in shard_files(self.folder):
            try:
                shard = Shard(file)
            except CorruptShard as error:
                self._drop(file.path, error)
            except FileNotFoundError:
                continue  # deleted by another run in between
            else:
                yield shard

    def _is_whole(self, shard: Shard) -> bool:
        try:
            shard.verify()
        except CorruptShard as error:
            self._drop(shard.file.path, error)
            return False
        except FileNotFoundError:
            return False
        return True

    def _drop(self, path: Path, error: CorruptShard) -> None:
        path.unlink(missing_ok=True)
        self._notes.append(f"Stored features were damaged and are computed again: {error}.")

    def _complete(self, keys: Sequence[str], places: Places, compute: Compute) -> None:
        """Compute what is missing, and add it to `places` as it is written."""
        first: dict[str, int] = {}
        for position, key in enumerate(keys):
            if key not in places.row:
                first.setdefault(key, position)
        if not first:
            return
        missing = set(first.values())
        writer = ShardWriter(self.folder, len(missing), lambda num_bytes: self._make_room(num_bytes, places))
        num_rows = len(places.row) + len(missing)
        try:
            for positions, features in compute(list(first.values())):
                if len(positions) != len(features) or len({*positions} & missing) != len(positions):
                    raise ValueError(f"compute yielded rows that were not asked for, or twice: {positions}")
                missing.difference_update(positions)
                needed = num_rows * features[:1].nbytes
                if needed > self.most_gib * GIB:
                    raise StoreFull(needed / GIB, self.most_gib)
                with self._usable():
                    _place(writer.add([keys[position] for position in positions], features), places)
        except BaseException:
            with suppress(OSError):
                writer.flush()
            raise
        if missing:
            raise ValueError(f"compute did not yield the rows {sorted(missing)[:10]}")
        with self._usable():
            _place(writer.flush(), places)

    def _make_room(self, num_bytes: int, places: Places) -> None:
        """Delete shards until so many bytes fit, those in `places` only if no other is left."""
        files = [shard.path for space in spaces(self.store) for shard in shard_files(space)]
        last = {shard.file.path for shard in places.shards}
        evict(files, self.most_gib * GIB - num_bytes, last=last)
        write_about(self.folder, self._about)

    def _join_small(self) -> None:
        """Write many small shards as few large ones, so that many small requests stay cheap to read."""
        small = [shard for shard in self._shards() if shard.is_small]
        if len(small) <= MOST_SMALL:
            return
        whole = [shard for shard in small if self._is_whole(shard)]
        writer = ShardWriter(self.folder, sum(len(shard.keys) for shard in whole), lambda num_bytes: None)
        joined, gathered = set[Path](), list[Shard]()
        for shard in whole:
            written = writer.add(shard.keys, shard.features)
            if written:
                joined |= {shard.file.path for shard in written}
                _delete(gathered, joined)
                gathered = []
            gathered.append(shard)
        joined |= {shard.file.path for shard in writer.flush()}
        _delete(gathered, joined)

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise StoreUnusable(
                f"The feature store {self.store} cannot be used: {reason}. "
                "TRANSFERLAB_CACHE=DIR in the environment puts it elsewhere."
            ) from error


def _place(shards: Iterable[Shard], places: Places) -> None:
    for shard in shards:
        places.add(shard, places.in_shard(shard, set(shard.keys)))


def _delete(shards: Iterable[Shard], but: Set[Path]) -> None:
    for shard in shards:
        if shard.file.path not in but:
            shard.file.path.unlink(missing_ok=True)
