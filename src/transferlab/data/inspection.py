"""Inspection of a user's data before anything is trained: its contents and its faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from transferlab.data.catalog.catalog import Catalog
from transferlab.data.catalog.names import SPLIT_NAMES
from transferlab.data.catalog.own_catalog import load
from transferlab.data.data_error import DataError, some
from transferlab.data.data_settings import DataSettings
from transferlab.data.image.decoding import Examined
from transferlab.data.image.file_facts import reading
from transferlab.data.image.image_check import examine_files
from transferlab.data.image.reader import EncodedReader, Reader
from transferlab.data.loading.workers import usable_cores
from transferlab.data.similarity import look_alike_by_nature, perceptual_hash, similar_pairs, thumbnail
from transferlab.data.splits import arrange_target, refuse_shared_images, without_class
from transferlab.data.splitting.split_rule import find_leaks, leaking_pairs, with_splits

IMBALANCED = 5.0  # ratio of the largest to the smallest class from which on a warning is given


@dataclass
class DomainReport:
    """Findings in one domain; plain values, ready for JSON.

    `problems` keep it from being trained on; `warnings` should be looked at.
    """

    name: str
    num_images: int = 0
    classes: dict[str, int] = field(default_factory=dict)
    imbalance_ratio: float | None = None
    width_px: dict[str, int] = field(default_factory=dict)
    height_px: dict[str, int] = field(default_factory=dict)
    modes: dict[str, int] = field(default_factory=dict)
    formats: dict[str, int] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    remarks: dict[str, list[str]] = field(default_factory=dict)
    duplicates: list[list[str]] = field(default_factory=list)
    near_duplicates: list[list[str]] = field(default_factory=list)
    splits_given: bool = False
    splits: dict[str, dict[str, int]] = field(default_factory=dict)
    num_groups: int = 0
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass
class Inspection:
    """Reports on the source and, if there is one, the target; `catalogs` are for showing pictures."""

    domains: list[DomainReport]
    catalogs: dict[str, Catalog]

    @property
    def problems(self) -> list[str]:
        """Reasons to exit with an error: leaks, empty classes, nothing to train on."""
        return [problem for domain in self.domains for problem in domain.problems]

    def as_json(self) -> dict[str, Any]:
        return {"problems": self.problems, "domains": [asdict(domain) for domain in self.domains]}


def inspect_data(settings: DataSettings) -> Inspection:
    """Look at every image of a data set; finds problems instead of raising them."""
    reports, arranged = [], {}
    for name, source in (("source", settings.source), ("target", settings.target)):
        if source is None:
            continue
        report = DomainReport(name)
        reports.append(report)
        try:
            with reading(examines=True, verify=settings.verify) as files:
                arranged[name] = _inspect(load(source), report, settings)
            report.warnings += files.notes
        except DataError as error:
            report.problems.append(str(error))
    if len(arranged) == 2 and not any(report.problems for report in reports):
        try:
            target = arrange_target(arranged["target"], settings, arranged["source"].classes)
            refuse_shared_images(arranged["source"], target)
        except DataError as error:
            reports[1].problems.append(str(error))
    return Inspection(reports, arranged)


def _inspect(catalog: Catalog, report: DomainReport, settings: DataSettings) -> Catalog:
    report.problems += catalog.problems
    report.warnings += catalog.notes
    report.num_images = len(catalog)
    report.classes = _class_counts(catalog)
    present = [count for count in report.classes.values() if count]
    if present:
        report.imbalance_ratio = round(max(present) / min(present), 2)
        if report.imbalance_ratio >= IMBALANCED:
            report.warnings.append(
                f"The largest class has {report.imbalance_ratio} times the images of the smallest."
            )
    unlabelled = int(catalog.table["label"].isna().sum())
    if unlabelled and report.name == "source":
        report.problems.append(f"{without_class(catalog)} A source needs all of them.")
    _describe_files(catalog, report)
    whole = catalog.select(~catalog.table["sample"].isin(list(report.broken)))
    _describe_copies(whole, report)
    report.num_groups = int(whole.table["group"].nunique())
    report.splits_given = bool(whole.table["split"].notna().any())
    leaks = find_leaks(whole.table) if report.splits_given else pd.DataFrame()
    if len(leaks):
        pairs = leaking_pairs(leaks)
        report.problems.append(f"{len(pairs)} images or groups are in two splits at once: {some(pairs, 20)}.")
    elif not catalog.problems and whole.labelled:
        whole = with_splits(whole, settings)
        report.warnings += whole.notes[len(catalog.notes) :]
    report.splits = _counts_by_split(whole)
    return whole


def _describe_files(catalog: Catalog, report: DomainReport) -> None:
    if isinstance(catalog.reader, EncodedReader):
        examined = examine_files(catalog)
    else:
        shapes = {sample: catalog.reader(sample).shape for sample in catalog.samples}
        examined = {sample: Examined(w, h, "RGB", "array") for sample, (h, w, _) in shapes.items()}
    report.broken = {sample: facts.reason for sample, facts in examined.items() if facts.reason is not None}
    sound = [facts for facts in examined.values() if facts.reason is None]
    report.remarks = {sample: list(facts.remarks) for sample, facts in examined.items() if facts.remarks}
    report.modes = dict(Counter(facts.mode for facts in sound).most_common())
    report.formats = dict(Counter(facts.format for facts in sound).most_common())
    report.width_px = _spread([facts.width for facts in sound])
    report.height_px = _spread([facts.height for facts in sound])
    if report.broken:
        report.warnings.append(
            f"{len(report.broken)} images cannot be read: {some(report.broken, 20)}. Training refuses them, "
            "or leaves them out with data.on_bad_image=skip."
        )


def _spread(values: list[int]) -> dict[str, int]:
    if not values:
        return {}
    return {"smallest": min(values), "median": int(np.median(values)), "largest": max(values)}


def _describe_copies(catalog: Catalog, report: DomainReport) -> None:
    copies = catalog.table.groupby("content", sort=False).indices.values()
    report.duplicates = _described(catalog, [np.asarray(rows) for rows in copies if len(rows) > 1], report)
    unique = catalog.select(~catalog.table.duplicated("content"))
    pairs_P2 = _look_alikes(unique.reader, unique.samples, report)
    report.near_duplicates = _described(unique, pairs_P2, report, look_alike=True)


def _described(
    catalog: Catalog, groups: Iterable[np.ndarray], report: DomainReport, *, look_alike: bool = False
) -> list[list[str]]:
    """The samples of each group of copies, with a warning where they are of different classes.

    Copies within one class are harmless, for they share a split; of those that look alike nobody knows.
    """
    samples, codes, splits = catalog.samples, catalog.codes, pd.factorize(catalog.table["split"])[0]
    how, described = "look alike" if look_alike else "are byte for byte the same", []
    for rows in groups:
        names = [samples[row] for row in rows]
        described.append(names)
        if len({codes[row] for row in rows} - {-1}) > 1:
            report.warnings.append(f"{some(names)} {how} but are of different classes.")
        if look_alike and len({splits[row] for row in rows} - {-1}) > 1:
            report.warnings.append(f"{some(names)} {how} but are in different splits.")
    return described


def _look_alikes(reader: Reader, samples: list[str], report: DomainReport) -> np.ndarray:
    """Pairs of places of images that look alike, shape (P, 2)."""

    def looked_at(sample: str) -> tuple[int, np.ndarray]:
        pixels = reader(sample)
        return perceptual_hash(pixels), thumbnail(pixels, 16)

    if not samples:
        return np.zeros((0, 2), dtype=np.int64)
    with ThreadPoolExecutor(max_workers=usable_cores()) as pool:
        hashes, thumbnails = zip(*pool.map(looked_at, samples), strict=True)
    looks = np.array(hashes, dtype=np.uint64), np.stack(thumbnails)
    if look_alike_by_nature(*looks):
        report.warnings.append(
            "So many images look alike, as drawings do, that copies cannot be told from others: near "
            "duplicates are not listed."
        )
        return np.zeros((0, 2), dtype=np.int64)
    return similar_pairs(*looks)


def _counts_by_split(catalog: Catalog) -> dict[str, dict[str, int]]:
    split = catalog.table["split"]
    return {
        name: _class_counts(catalog.select(split == name)) for name in SPLIT_NAMES if (split == name).any()
    }


def _class_counts(catalog: Catalog) -> dict[str, int]:
    return dict(zip(catalog.classes, catalog.class_counts.tolist(), strict=True))
