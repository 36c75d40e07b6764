"""Decoded images in one file, mapped into memory: the work of decoding is done once for all jobs and
epochs.
"""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from transferlab.data.catalog.catalog import Catalog
from transferlab.data.image.preprocessing import Preprocessing, resized_short_side
from transferlab.data.loading.workers import usable_cores
from transferlab.data.splits import Splits
from transferlab.run.cache import GIB, cache_folder, evict, exclusive, mark_used, whole_folder

VERSION = "decoded 1"
SHORT_SIDE_PX = 256


class _TooLarge(Exception):
    """More than the cache may hold."""


class DecodedReader:
    """Reads images of a store that `decoded` has made; safe to hand to worker processes."""

    def __init__(self, store: Path) -> None:
        self.store = store
        index = json.loads((store / "index.json").read_text())
        self._place = {sample: (start, height, width) for sample, start, height, width in index["images"]}
        # copy on write: nobody can change the file, and torch takes the pages as they are
        self._pixels = np.memmap(store / "pixels.bin", dtype=np.uint8, mode="c")
        self.in_memory = self._pixels.nbytes < GIB

    def __reduce__(self) -> tuple[type[DecodedReader], tuple[Path]]:
        return DecodedReader, (self.store,)  # pickled without its pixels

    def __call__(self, sample: str) -> np.ndarray:
        start, height, width = self._place[sample]
        return self._pixels[start : start + height * width * 3].reshape(height, width, 3)


def decoded(catalogs: list[Catalog], preprocessing: Preprocessing, *, most_gib: float) -> DecodedReader | str:
    """A reader of all samples of `catalogs`, which share one reader; or why there is none.

    Images are stored with a short side of 256 px, or of what the evaluation resizes to if that is more;
    smaller images as they are. The store is named by contents, appears at once or not at all, and is shared:
    one process makes it while others wait. The least recently used stores go when all together pass
    `most_gib`.
    """
    contents = {
        sample: content
        for catalog in catalogs
        for sample, content in zip(catalog.samples, catalog.table["content"], strict=True)
    }
    short_side = max(SHORT_SIDE_PX, preprocessing.resized_px)
    folder = cache_folder("decoded")
    store = folder / _name(contents, short_side, preprocessing.interpolation)
    try:
        with exclusive(store, waiting="waiting for another run that decodes these images"):
            if not (store / "index.json").is_file():
                _make(store, catalogs[0], list(contents), short_side, preprocessing, most_gib * GIB)
            mark_used(store)
            reader = DecodedReader(store)
        stores = [index.parent for index in folder.glob("[!.]*/index.json")]
        evict(stores, most_gib * GIB, last=[store])
        return reader
    except _TooLarge:
        return f"the decoded images take more than data.cache_gib={most_gib:g}"
    except OSError as error:
        return f"{folder} cannot be used ({error.strerror or error})"


def _name(contents: dict[str, str], short_side: int, interpolation: str) -> str:
    digest = hashlib.blake2b(f"{VERSION} {short_side} {interpolation}".encode(), digest_size=16)
    for sample, content in sorted(contents.items()):
        digest.update(f"{sample}\0{content}\n".encode())
    return digest.hexdigest()


def _make(
    store: Path,
    catalog: Catalog,
    samples: list[str],
    short_side: int,
    preprocessing: Preprocessing,
    most_bytes: float,
) -> None:
    """Write the store; raises `_TooLarge`."""

    def prepared(sample: str) -> np.ndarray:
        image = torch.from_numpy(catalog.reader(sample)).permute(2, 0, 1)
        if min(image.shape[-2:]) > short_side:
            image = resized_short_side(image, short_side, preprocessing.interpolation)
        return np.ascontiguousarray(image.permute(1, 2, 0).numpy())

    images, position = [], 0
    with whole_folder(store) as making:
        with (making / "pixels.bin").open("wb") as file, ThreadPoolExecutor(usable_cores()) as pool:
            for start in range(0, len(samples), 256):  # in portions: a pool's results pile up in memory
                portion = samples[start : start + 256]
                for sample, pixels in zip(portion, pool.map(prepared, portion), strict=True):
                    images.append([sample, position, *pixels.shape[:2]])
                    position += pixels.nbytes
                    if position > most_bytes:
                        raise _TooLarge
                    file.write(pixels.tobytes())
        index = json.dumps({"images": images})
        if position + len(index) > most_bytes:
            raise _TooLarge
        (making / "index.json").write_text(index)


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
        for split in encoded:
            changed[split.name] = replace(split, catalog=replace(split.catalog, reader=reader))
    return replace(splits, splits=tuple(changed.values()), notes=tuple(notes))
