"""A source and a target domain that share their classes."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pandas as pd

from transferlab.data.catalog.catalog import COLUMNS, Catalog
from transferlab.data.errors import DataError, some
from transferlab.data.parts import SplitRule, with_parts
from transferlab.data.subset import nested_subset


def arrange_source(
    catalog: Catalog,
    rule: SplitRule,
    *,
    fraction: float | None,
    shots_per_class: int | None,
    shots_seed: int,
) -> Catalog:
    """The labelled domain with its parts; training samples beyond fraction or shots become `unused`."""
    if not catalog.labelled:
        raise DataError(
            f"{int(catalog.table['label'].isna().sum())} of {len(catalog)} images have no class, e.g. "
            f"{some(catalog.samples, 3)}. Put the images of each class into a folder of its own."
        )
    catalog = with_parts(catalog, rule)
    split = catalog.table["split"].copy()
    train = catalog.table[split == "train"]
    keep = nested_subset(train, fraction=fraction, shots_per_class=shots_per_class, seed=shots_seed)
    split[train.index[~keep]] = "unused"
    notices = list(catalog.notices)
    counts = catalog.select(split == "train").class_counts
    if shots_per_class is not None:
        fewer = [
            f"{name} ({n})" for name, n in zip(catalog.classes, counts, strict=True) if n < shots_per_class
        ]
        if fewer:
            notices.append(
                f"Fewer than data.shots_per_class={shots_per_class} training images: {some(fewer)}."
            )
    for part in ("val", "test"):
        absent = catalog.select(split == part).class_counts == 0
        names = [name for name, lacks in zip(catalog.classes, absent, strict=True) if lacks]
        if names:
            notices.append(
                f"The {part} part has no images of {some(names)}: figures leave these classes out."
            )
    table = catalog.table.assign(split=split, domain="source")
    return replace(catalog, table=table, notices=tuple(notices))


def arrange_target(catalog: Catalog, rule: SplitRule, classes: tuple[str, ...]) -> Catalog:
    """The second domain with its parts and with the source's class codes; all `train` where it has no
    labels.
    """
    if catalog.table["label"].isna().all():
        table = catalog.table.assign(split="train", domain="target")
        return replace(catalog, table=table, classes=classes)
    if not catalog.labelled:
        raise DataError(
            f"{int(catalog.table['label'].isna().sum())} of {len(catalog)} target images have no class. "
            "Label all "
            "or none."
        )
    foreign = [name for name in catalog.classes if name not in classes]
    if foreign:
        raise DataError(
            f"The target has classes that the source lacks: {some(foreign)}. The source has "
            f"{some(classes, 20)}. "
            "Rename or remove their folders."
        )
    catalog = with_parts(catalog, rule)
    codes = {old: classes.index(name) for old, name in enumerate(catalog.classes)}
    labels = pd.array(catalog.table["label"].map(codes).to_numpy(), dtype="Int64")
    table = catalog.table.assign(label=labels, domain="target")
    notices = catalog.notices
    if absent := [name for name in classes if name not in catalog.classes]:
        notices += (f"The target has no images of {some(absent)}: the source alone has these classes.",)
    return replace(catalog, table=table, classes=classes, notices=notices)


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


def named_parts(domains: list[Catalog], notices: list[str]) -> dict[str, Catalog]:
    """Each part's catalog under the name that loaders know it by."""
    source = domains[0]
    split = source.table["split"]
    parts = {part: source.select(split == part) for part in ("train", "val", "test")}
    if len(domains) == 1:
        return parts
    target = domains[1]
    split = target.table["split"]
    parts["source_test"] = parts["test"]
    parts["target_train"] = target.select(split == "train").without_labels()
    if target.labelled:
        parts["target_val"] = target.select(split == "val")
        parts["test"] = target.select(split == "test")
    else:
        notices.append("The target has no labels: it is all trained on, and test figures are of the source.")
    return parts


def split_table(domains: list[Catalog]) -> pd.DataFrame:
    """Each sample's label, group, split and domain; `unused` where fraction or shots left it out."""
    tables = []
    for catalog in domains:
        names = catalog.table["label"].map(dict(enumerate(catalog.classes)), na_action="ignore")
        tables.append(catalog.table[COLUMNS].assign(label=names))
    return pd.concat(tables, ignore_index=True)


def fingerprint(domains: list[Catalog]) -> str:
    """A hash of the catalogs' contents and of the split."""
    digest = hashlib.blake2b(digest_size=16)
    for catalog in domains:
        digest.update(catalog.fingerprint().encode())
    for row in split_table(domains).sort_values(["domain", "sample"]).itertuples():
        digest.update(f"{row.domain}\0{row.sample}\0{row.split}\n".encode())
    return digest.hexdigest()
