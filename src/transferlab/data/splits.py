"""The splits of a data set: one domain, or a source and a target that share their classes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from transferlab.data.catalog.catalog import COLUMNS, Catalog
from transferlab.data.data_error import DataError, some
from transferlab.data.image.image_check import usable
from transferlab.data.splitting.split_rule import with_splits
from transferlab.data.splitting.stratification import nested_subset
from transferlab.run.run_folder import REPORTED

if TYPE_CHECKING:  # settings name torch's transforms
    from transferlab.data.data_settings import DataSettings

Domain = Literal["source", "target"]
UNLABELLED = "unlabelled"  # the one class of a source whose labels are not needed
_NEEDS_CLASSES = (
    "Fix: put the images of each class into a folder of its own; or in a table, write their classes into the "
    "label column, or leave these rows out."
)


@dataclass(frozen=True, eq=False)
class Split:
    """Samples that are used alike.

    Its name stands in file names and is a key of result.json. The `index` of its batches refers to its
    catalog. Training sees those that are `trained_on`, augmented.
    """

    name: str
    catalog: Catalog
    domain: Domain
    trained_on: bool = False

    def __post_init__(self) -> None:
        unlabelled = self.catalog.table["label"].isna().all()
        assert unlabelled or not (self.trained_on and self.domain == "target"), "target labels in training"

    def __len__(self) -> int:
        return len(self.catalog)

    @property
    def reported(self) -> bool:
        """True if a run reports its metrics."""
        return self.name in REPORTED

    @property
    def labelled(self) -> bool:
        """True if every sample has a label."""
        return self.catalog.labelled


@dataclass(frozen=True, eq=False)
class Splits(Mapping[str, Split]):
    """Splits by name: train, val, test and, with a target, source_test, target_train, target_val.

    With a target, `test` is the target's: all of it, where it has no labels.
    """

    splits: tuple[Split, ...]  # in the order of their names above
    # the whole source and, if there is one, the whole target, with samples that are `unused`
    domains: tuple[Catalog, ...]
    notes: tuple[str, ...] = ()  # sentences for the user

    def __getitem__(self, name: str) -> Split:
        for split in self.splits:
            if split.name == name:
                return split
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (split.name for split in self.splits)

    def __len__(self) -> int:
        return len(self.splits)

    @property
    def trained_on(self) -> list[Split]:
        """The splits that training may see: the source's, then the target's."""
        return [split for split in self.splits if split.trained_on]

    @property
    def reported(self) -> list[str]:
        """The names of the splits whose metrics a run reports; those without samples are left out."""
        return [split.name for split in self.splits if split.reported and len(split)]

    @property
    def classes(self) -> tuple[str, ...]:
        return self.domains[0].classes

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def label_kind(self) -> Literal["class"]:
        """The kind of the label column, as the source declares it."""
        return self.domains[0].label_kind

    @property
    def class_counts(self) -> np.ndarray:
        """Number of samples of each class in the labelled training split."""
        return self["train"].catalog.class_counts

    @property
    def has_target(self) -> bool:
        return len(self.domains) > 1

    def counts(self) -> dict[str, int]:
        """The number of samples of each split."""
        return {split.name: len(split) for split in self.splits}

    def table(self) -> pd.DataFrame:
        """Each sample's label, group, split and domain; `unused` where fraction or shots left it out."""
        tables = [catalog.table[COLUMNS].assign(label=catalog.label_names) for catalog in self.domains]
        return pd.concat(tables, ignore_index=True)

    def fingerprint(self) -> str:
        """A hash of the catalogs' contents and of the splits."""
        digest = hashlib.blake2b(digest_size=16)
        for catalog in self.domains:
            digest.update(catalog.fingerprint().encode())
        for catalog in self.domains:
            rows = catalog.table.sort_values("sample")
            for domain, sample, split in zip(rows["domain"], rows["sample"], rows["split"], strict=True):
                digest.update(f"{domain}\0{sample}\0{split}\n".encode())
        return digest.hexdigest()


def arrange(settings: DataSettings, *, needs_labels: bool = True) -> Splits:
    """Read the catalogs, divide them, choose the shots; raises `DataError`.

    Args:
        settings: the `data` section.
        needs_labels: False where two domains are only compared: if the source has no labels then, those of
            the target are dropped as well, and all images of both are in the training splits.
    """
    source, with_labels = usable(settings.source, settings), True
    if not needs_labels and source.table["label"].isna().all():
        one = pd.array([0] * len(source), dtype="Int64")
        with_labels, table = False, source.table.assign(label=one, split="train", domain="source")
        source = replace(source, table=table, classes=(UNLABELLED,))
    else:
        source = arrange_source(source, settings)
    split = source.table["split"]
    train, val, test = (
        Split(name, source.select(split == name), "source", trained_on=name == "train")
        for name in ("train", "val", "test")
    )
    if settings.target is None:
        return Splits((train, val, test), (source,), source.notes)
    target = usable(settings.target, settings)
    target = arrange_target(target if with_labels else target.without_labels(), settings, source.classes)
    refuse_shared_images(source, target)
    notes = (*source.notes, *target.notes)
    split = target.table["split"]
    source_test = replace(test, name="source_test")
    unlabelled = target.select(split == "train").without_labels()
    target_train = Split("target_train", unlabelled, "target", trained_on=True)
    if not with_labels:
        return Splits((train, val, test, source_test, target_train), (source, target), notes)
    if not target.labelled:
        notes += (
            "The target has no labels: it is all trained on, and predicted without metrics in "
            "predictions/test.csv. Metrics are of the source: val and source test.",
        )
        test = Split("test", unlabelled, "target")
        return Splits((train, val, test, source_test, target_train), (source, target), notes)
    target_val = Split("target_val", target.select(split == "val"), "target")
    test = Split("test", target.select(split == "test"), "target")
    return Splits((train, val, test, source_test, target_train, target_val), (source, target), notes)


def arrange_source(catalog: Catalog, settings: DataSettings) -> Catalog:
    """The labelled domain with its splits; training samples beyond fraction or shots become `unused`."""
    if not catalog.labelled:
        raise DataError(f"{without_class(catalog)} {_NEEDS_CLASSES}")
    catalog = with_splits(catalog, settings)
    split = catalog.table["split"].copy()
    train = catalog.table[split == "train"]
    shots = settings.shots_per_class
    stays = nested_subset(train, fraction=settings.fraction, shots_per_class=shots, seed=settings.shots_seed)
    split[train.index[~stays]] = "unused"
    notes = [*catalog.notes, *notes_on_labels(catalog)]
    counts = catalog.select(split == "train").class_counts
    if shots is not None:
        fewer = [f"{name} ({n})" for name, n in zip(catalog.classes, counts, strict=True) if n < shots]
        if fewer:
            notes.append(f"Fewer than data.shots_per_class={shots} training images: {some(fewer)}.")
    for name in ("val", "test"):
        absent = catalog.select(split == name).class_counts == 0
        classes = [of_class for of_class, lacks in zip(catalog.classes, absent, strict=True) if lacks]
        if classes:
            notes.append(
                f"The {name} split has no images of {some(classes)}: metrics leave these classes out."
            )
    table = catalog.table.assign(split=split, domain="source")
    return replace(catalog, table=table, notes=tuple(notes))


def arrange_target(catalog: Catalog, settings: DataSettings, classes: tuple[str, ...]) -> Catalog:
    """The second domain with its splits and the source's class codes; all `train` where it has no labels."""
    if catalog.table["label"].isna().all():
        table = catalog.table.assign(split="train", domain="target")
        return replace(catalog, table=table, classes=classes)
    if not catalog.labelled:
        raise DataError(f"Target: {without_class(catalog)} Label all or none.")
    foreign = [name for name in catalog.classes if name not in classes]
    if foreign:
        raise DataError(
            f"The target has classes that the source lacks: {some(foreign)}. The source has "
            f"{some(classes, 20)}. Rename or remove their folders."
        )
    absent = [name for name in classes if name not in catalog.classes]
    catalog = with_splits(catalog, settings).with_classes(classes)
    notes = (*catalog.notes, *notes_on_labels(catalog))
    if absent:
        notes += (f"The target has no images of {some(absent)}: the source alone has these classes.",)
    return replace(catalog, table=catalog.table.assign(domain="target"), notes=notes)


def without_class(catalog: Catalog) -> str:
    """A sentence with the number of the samples that have no label, and some of their names."""
    unlabelled = catalog.table["sample"][catalog.table["label"].isna()]
    have = "image has" if len(unlabelled) == 1 else "images have"
    return f"{len(unlabelled)} of {len(catalog)} {have} no class, e.g. {some(unlabelled, 3)}."


def notes_on_labels(catalog: Catalog) -> list[str]:
    """A note where byte for byte the same image has several labels: some of them must be wrong."""
    table = catalog.table[catalog.table["label"].notna()]
    differ = table.groupby("content", sort=False)["label"].transform("nunique") > 1
    if not differ.any():
        return []
    doubtful = [rows["sample"] for _, rows in table[differ].groupby("content", sort=False)]
    number = "1 image is" if len(doubtful) == 1 else f"{len(doubtful)} images are"
    return [
        f"{number} in several classes, byte for byte the same: {some(map(' = '.join, doubtful))}. All their "
        "labels are trained on. Delete the wrong ones."
    ]


def refuse_shared_images(source: Catalog, target: Catalog) -> None:
    """A target image to test on must not be a labelled image of the source: its label would be known.

    Nor is there anything to adapt to where the source holds all of a labelled target: most likely one folder
    was given twice.
    """
    if target.labelled and set(target.table["content"]) <= set(source.table["content"]):
        raise DataError(
            f"All {len(target)} images of the target are images of the source, too: there is nothing to "
            "adapt to. Choose another data.target."
        )
    tested = target.table[target.table["label"].notna() & (target.table["split"] == "test")]
    known = source.table[source.table["split"].isin(["train", "val"])]
    both = tested.merge(known, on="content", suffixes=("_target", "_source"))
    if len(both):
        pairs = zip(both["sample_target"], both["sample_source"], strict=True)
        raise DataError(
            f"{len(both)} test images of the target are labelled images of the source, too: "
            f"{some(f'{tested} = {known}' for tested, known in pairs)}. Delete them from one domain."
        )
