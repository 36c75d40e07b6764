"""Decoded images in a few large files, mapped into memory: the work of decoding is done once for all jobs
and epochs.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from transferlab.data.catalog.catalog import Catalog
from transferlab.data.image.preprocessing import Preprocessing, resized_short_side
from transferlab.data.image.reader import Reader
from transferlab.data.loading.workers import usable_cores
from transferlab.data.splits import Splits
from transferlab.run.cache import GIB, cache_folder, evict, exclusive, mark_used, whole_folder
from transferlab.run.progress import progress

VERSION = "decoded 2"
SHORT_SIDE_PX = 256
SHARD_BYTES = 2**30
INDEX = "index.npz"
_INDEX_BYTES = 40  # per image, beside its name
_HEADER_BYTES = 2048
_PORTION = 256  # images between two looks at the budget: a pool's results pile up in memory


class DecodedReader:
    """Reads images of a store that `decoded` has made, and prepares in the same way those that it lacks.

    Safe to hand to worker processes.
    """

    def __init__(self, store: Path, prepare: Prepare) -> None:
        self.store = store
        self.prepare = prepare
        with np.load(store / INDEX, allow_pickle=False) as index:
            names = index["names"].tobytes().decode("utf-8", "surrogateescape").split("\0")
            self._places = index["places"]  # shard, start, height, width of each image
            self.budget, self.num_samples = index["made_for"].tolist()
        self._row = dict(zip(names, range(len(self._places)), strict=False))
        # copy on write: nobody can change the files, and torch takes the pages as they are
        self._shards = [
            np.memmap(file, dtype=np.uint8, mode="c") for file in sorted(store.glob("pixels_*.bin"))
        ]
        sizes = np.array([shard.nbytes for shard in self._shards], dtype=np.int64)
        shard, start, height, width = self._places.T
        if (shard >= len(sizes)).any() or (start + height * width * 3 > sizes[shard]).any():
            raise ValueError(f"{store} lacks pixels")
        self.in_memory = self.is_whole and int(sizes.sum()) < GIB

    def __len__(self) -> int:
        return len(self._row)

    @property
    def is_whole(self) -> bool:
        """True if it holds every image that it was made for."""
        return len(self) == self.num_samples

    def __reduce__(self) -> tuple[type[DecodedReader], tuple[Path, Prepare]]:
        return DecodedReader, (self.store, self.prepare)  # pickled without its pixels

    def __call__(self, sample: str) -> np.ndarray:
        row = self._row.get(sample)
        if row is None:
            return self.prepare(sample)
        shard, start, height, width = self._places[row].tolist()
        return self._shards[shard][start : start + height * width * 3].reshape(height, width, 3)


@dataclass(frozen=True)
class Prepare:
    """An image as a store holds it: its short side shrunk to `short_side_px` if it is longer."""

    reader: Reader
    short_side_px: int
    interpolation: str

    def __call__(self, sample: str) -> np.ndarray:
        image = torch.from_numpy(self.reader(sample)).permute(2, 0, 1)
        if min(image.shape[-2:]) > self.short_side_px:
            image = resized_short_side(image, self.short_side_px, self.interpolation)
        return np.ascontiguousarray(image.permute(1, 2, 0).numpy())


def decoded(catalogs: list[Catalog], preprocessing: Preprocessing, *, most_gib: float) -> DecodedReader | str:
    """A reader of all samples of `catalogs`, which share one reader; or why there is none.

    Images are stored with a short side of 256 px, or of what the evaluation resizes to if that is more;
    smaller images as they are. Of more images than `most_gib` holds the first are stored, and the others
    decoded at each use, to the same pixels. The store is named by contents, appears at once or not at all,
    and is shared: one process makes it while others wait. The least recently used stores go when all
    together pass `most_gib`.
    """
    contents = {
        sample: content
        for catalog in catalogs
        for sample, content in zip(catalog.samples, catalog.table["content"], strict=True)
    }
    short_side = max(SHORT_SIDE_PX, preprocessing.resized_px)
    prepare = Prepare(catalogs[0].reader, short_side, preprocessing.interpolation)
    budget = int(most_gib * GIB)
    folder = cache_folder("decoded")
    store = folder / _name(contents, short_side, preprocessing.interpolation)
    try:
        with exclusive(store, waiting="waiting for another run that decodes these images"):
            if _is_wanting(store, prepare, budget):
                _make(store, prepare, list(contents), budget)
            mark_used(store)
            reader = DecodedReader(store, prepare)
        stores = {index.parent for index in folder.glob("[!.]*/index.*")}
        evict(stores, budget, last=[store])
    except OSError as error:
        return f"{folder} cannot be used ({error.strerror or error})"
    if len(reader) == 0:
        return f"data.cache_gib={most_gib:g} holds none of the decoded images"
    return reader


def _is_wanting(store: Path, prepare: Prepare, budget: int) -> bool:
    """True if there is no store, or a damaged one, or one that holds less than it now could."""
    try:
        reader = DecodedReader(store, prepare)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return True
    return not reader.is_whole and reader.budget < budget


def _name(contents: dict[str, str], short_side: int, interpolation: str) -> str:
    digest = hashlib.blake2b(f"{VERSION} {short_side} {interpolation}".encode(), digest_size=16)
    for sample, content in sorted(contents.items()):
        digest.update(f"{sample}\0{content}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _make(store: Path, prepare: Prepare, samples: list[str], budget: int) -> None:
    """Write the store: shards of pixels, then the index, of as many samples as the budget holds."""
    with (
        whole_folder(store) as making,
        _Shards(making) as shards,
        ThreadPoolExecutor(usable_cores()) as pool,
        progress("Decoding", len(samples), "images") as advance,
    ):
        left = budget - _HEADER_BYTES - sum(len(os.fsencode(sample)) + _INDEX_BYTES for sample in samples)
        for start in range(0, len(samples), _PORTION):
            portion = samples[start : start + _PORTION]
            for pixels in pool.map(prepare, portion):
                left -= pixels.nbytes
                if left < 0:
                    break
                shards.add(pixels)
            advance(len(portion))
            if left < 0:
                break
        names = "\0".join(samples[: len(shards.places)]).encode("utf-8", "surrogateescape")
        np.savez(
            making / INDEX,
            names=np.frombuffer(names, np.uint8),
            places=np.array(shards.places, dtype=np.int64).reshape(-1, 4),
            made_for=np.array([budget, len(samples)], dtype=np.int64),
        )


class _Shards:
    """Files of pixels that are filled one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.places: list[tuple[int, int, int, int]] = []
        self._file: BinaryIO | None = None
        self._number = -1

    def __enter__(self) -> _Shards:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, pixels: np.ndarray) -> None:
        """Append an image."""
        if self._file is None or self._file.tell() + pixels.nbytes > SHARD_BYTES:
            self.__exit__()
            self._number += 1
            self._file = (self.folder / f"pixels_{self._number:05d}.bin").open("wb")
        self.places.append((self._number, self._file.tell(), *pixels.shape[:2]))
        self._file.write(pixels.tobytes())


def with_decoded(splits: Splits, preprocessing: Preprocessing, *, most_gib: float) -> Splits:
    """The splits, reading from stores of decoded images, one per domain; notes say why any could not."""
    changed, notes = {split.name: split for split in splits.values()}, list(splits.notes)
    for domain in ("source", "target"):
        encoded = [
            split
            for split in splits.values()
            if split.domain == domain and not split.catalog.reader.in_memory
        ]
        if not encoded:
            continue
        reader = decoded([split.catalog for split in encoded], preprocessing, most_gib=most_gib)
        if isinstance(reader, str):
            notes.append(f"data.cache=decoded has no effect: {reader}.")
            continue
        if not reader.is_whole:
            notes.append(
                f"data.cache=decoded: {len(reader)} of {reader.num_samples} images of the {domain} fit into "
                f"data.cache_gib={most_gib:g}; the others are decoded in each epoch. Raise it, or lower "
                "image_size."
            )
        for split in encoded:
            changed[split.name] = replace(split, catalog=replace(split.catalog, reader=reader))
    return replace(splits, splits=tuple(changed.values()), notes=tuple(notes))
