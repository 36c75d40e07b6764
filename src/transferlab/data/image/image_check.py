"""Decodes every image once before training, so that a broken one is found in the first minute."""

from __future__ import annotations

import csv
import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from transferlab.data.catalog.catalog import Catalog, CatalogSource
from transferlab.data.catalog.own_catalog import load
from transferlab.data.data_error import DataError, some
from transferlab.data.image.decoding import Examined, examine
from transferlab.data.image.reader import EncodedReader, FileReader
from transferlab.data.loading.workers import usable_cores
from transferlab.run.cache import cache_folder, write_whole

if TYPE_CHECKING:
    from transferlab.data.data_settings import DataSettings

OnBadImage = Literal["error", "skip", "quarantine"]
DECODER = "decoder 2"  # change it when decoding changes what counts as broken
QUARANTINE = ".quarantine"


def usable(source: CatalogSource, settings: DataSettings) -> Catalog:
    """A source's catalog, without images that cannot be read where these are looked for; `DataError`."""
    catalog = load(source).usable()
    return checked(catalog, settings.on_bad_image) if settings.check_images else catalog


def checked(catalog: Catalog, on_bad_image: OnBadImage) -> Catalog:
    """The catalog without images that cannot be read; each is named in its notes.

    Args:
        catalog: of encoded images; others are returned as they are.
        on_bad_image: `error`; `skip` them; or `quarantine` them: move them into `.quarantine` in the root,
            with the reasons in `reasons.csv` there.

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
    listed = "; ".join(f"{catalog.reader.place(sample)}: {reason}" for sample, reason in reasons.items())
    number = "1 image" if len(reasons) == 1 else f"{len(reasons)} images"
    if on_bad_image == "error":
        raise DataError(
            f"{number} cannot be used: {listed}. Replace or delete them, or leave them out with "
            "data.on_bad_image=skip (or quarantine, which moves them away)."
        )
    if on_bad_image == "quarantine":
        if not isinstance(catalog.reader, FileReader):
            raise DataError(f"Only files can be moved away; use data.on_bad_image=skip for: {listed}.")
        place = move_away(catalog.reader.root, reasons)
        notes.append(f"Moved {number} to {place}: {listed}.")
    else:
        notes.append(f"Left out {number}: {listed}.")
    rest = catalog.select(~catalog.table["sample"].isin(list(reasons)))
    if len(rest) == 0:
        raise DataError(f"No image can be used: {listed}.")
    return replace(rest, notes=tuple(notes))


def examine_files(catalog: Catalog) -> dict[str, Examined]:
    """The facts of each sample's file; cached by contents, so that a second run need not decode again."""
    assert isinstance(catalog.reader, EncodedReader)
    reader = catalog.reader
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


def move_away(root: Path, reasons: dict[str, str]) -> Path:
    """Move samples into a hidden folder of the root, which no catalog looks into, and write down why."""
    place = root / QUARANTINE
    for sample in reasons:
        end = place / sample
        end.parent.mkdir(parents=True, exist_ok=True)
        try:
            (root / sample).rename(end)
        except FileNotFoundError:
            continue  # another job of the sweep was quicker
        except OSError as error:
            raise DataError(
                f"{root / sample} cannot be moved to {end} ({error.strerror}). Use data.on_bad_image=skip."
            ) from None
    lines = io.StringIO()
    past = place / "reasons.csv"
    rows = dict(csv.reader(io.StringIO(past.read_text()))) if past.is_file() else {"sample": "reason"}
    csv.writer(lines).writerows({**rows, **reasons}.items())
    write_whole(past, lines.getvalue().encode())
    return place


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
