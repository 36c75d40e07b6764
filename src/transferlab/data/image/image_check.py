"""Decodes every image once before training, so that a broken one is found in the first minute."""

from __future__ import annotations

import json
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from transferlab.data.catalog.catalog import Catalog, CatalogSource
from transferlab.data.catalog.own_catalog import load
from transferlab.data.data_error import DataError, some
from transferlab.data.image.decoding import Examined, examine
from transferlab.data.image.file_facts import DECODER, examined_files, reading
from transferlab.data.image.quarantine import is_within, move_away
from transferlab.data.image.reader import EncodedReader, FileReader
from transferlab.data.loading.workers import usable_cores
from transferlab.run.cache import cache_folder, write_whole
from transferlab.run.printable import printable

if TYPE_CHECKING:
    from transferlab.data.data_settings import DataSettings

OnBadImage = Literal["error", "skip", "quarantine"]


def usable(source: CatalogSource, settings: DataSettings) -> Catalog:
    """A source's catalog, without images that cannot be read where these are looked for; `DataError`."""
    with reading(examines=settings.check_images, verify=settings.verify) as files:
        catalog = load(source).usable()
        if settings.check_images:
            catalog = checked(catalog, settings.on_bad_image)
    return replace(catalog, notes=(*files.notes, *catalog.notes)) if files.notes else catalog


def checked(catalog: Catalog, on_bad_image: OnBadImage) -> Catalog:
    """The catalog without images that cannot be read; each is named in its notes.

    Args:
        catalog: of encoded images; others are returned as they are.
        on_bad_image: `error`; `skip` them; or `quarantine` them: move them into `.quarantine` in the root,
            with the reasons in `reasons.csv` there. Files outside of the root stay where they are.

    Raises:
        DataError: an image is broken and `on_bad_image` is `error`, or no image is left.
    """
    if not isinstance(catalog.reader, EncodedReader):
        return catalog
    examined = examine_files(catalog)
    remarks = [f"{sample}: {remark}" for sample, facts in examined.items() for remark in facts.remarks]
    notes = list(catalog.notes)
    if remarks:
        notes.append(f"Odd images: {some(remarks, 20)}.")
    reasons = {sample: facts.reason for sample, facts in examined.items() if facts.reason is not None}
    if not reasons:
        return replace(catalog, notes=tuple(notes))
    listed, number = _listed(catalog.reader, reasons), _number(reasons)
    if on_bad_image == "error":
        raise DataError(
            f"{number} cannot be used: {listed}. Replace or delete them, or leave them out with "
            "data.on_bad_image=skip (or quarantine, which moves them away)."
        )
    rest = catalog.select(~catalog.table["sample"].isin(list(reasons)))
    if len(rest) == 0:
        raise DataError(f"No image can be used: {listed}.")
    if on_bad_image == "quarantine":
        if not isinstance(catalog.reader, FileReader):
            raise DataError(f"Only files can be moved away; use data.on_bad_image=skip for: {listed}.")
        notes += _quarantined(catalog.reader, reasons)
    else:
        notes.append(f"Left out {number}: {listed}.")
    return replace(rest, notes=tuple(notes))


def _quarantined(reader: FileReader, reasons: dict[str, str]) -> list[str]:
    """Move what lies in the root; a sentence for the user on what was moved and on what was not."""
    files = {sample: reader.file(sample) for sample in reasons}
    inside = {sample: why for sample, why in reasons.items() if is_within(reader.root, files[sample])}
    outside = {sample: why for sample, why in reasons.items() if sample not in inside}
    notes = []
    if inside:
        place = move_away(reader.root, inside, files)
        notes.append(f"Moved {_number(inside)} to {printable(place)}: {_listed(reader, inside)}.")
    if outside:
        notes.append(
            f"Left out {_number(outside)}, not moved: files outside of {printable(reader.root)} stay where "
            f"they are: {_listed(reader, outside)}."
        )
    return notes


def _listed(reader: EncodedReader, reasons: dict[str, str]) -> str:
    return "; ".join(f"{reader.place(sample)}: {reason}" for sample, reason in reasons.items())


def _number(samples: Collection[str]) -> str:
    return "1 image" if len(samples) == 1 else f"{len(samples)} images"


def examine_files(catalog: Catalog) -> dict[str, Examined]:
    """The facts of each sample's image; cached, so that a second run need not decode again."""
    assert isinstance(catalog.reader, EncodedReader)
    reader = catalog.reader
    if isinstance(reader, FileReader):
        files = [reader.file(sample) for sample in catalog.samples]
        found = examined_files(reader.root, files, max_pixels=reader.max_pixels)
        return dict(zip(catalog.samples, found, strict=True))
    memory = cache_folder("checked") / f"{catalog.fingerprint()}.{reader.max_pixels}.json"
    known = _read_cached(memory)
    if known is not None and known.keys() == set(catalog.samples):
        return {sample: known[sample] for sample in catalog.samples}

    def facts(sample: str) -> Examined:
        try:
            content = reader.content(sample)
        except OSError as error:
            return Examined(reason=f"cannot be read ({error.strerror})")
        return examine(content, max_pixels=reader.max_pixels)

    with ThreadPoolExecutor(max_workers=usable_cores()) as pool:
        examined = dict(zip(catalog.samples, pool.map(facts, catalog.samples), strict=True))
    _cache(memory, examined)
    return examined


def _read_cached(memory: Path) -> dict[str, Examined] | None:
    try:
        stored = json.loads(memory.read_bytes())
        if stored["by"] != DECODER:
            return None
        return {
            sample: Examined(**{**facts, "remarks": tuple(facts["remarks"])})
            for sample, facts in stored["files"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # absent, or not written by us: look again


def _cache(memory: Path, examined: dict[str, Examined]) -> None:
    files = {sample: asdict(facts) for sample, facts in examined.items()}
    try:
        write_whole(memory, json.dumps({"by": DECODER, "files": files}).encode())
    except OSError:
        return  # a home that cannot be written to costs time only
