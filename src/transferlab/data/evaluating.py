"""Samples for a model that exists: its own parts again, or other images whose classes it knows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
from torch.utils.data import DataLoader

from transferlab.data.catalog.catalog import Catalog
from transferlab.data.checking import usable
from transferlab.data.errors import DataError, some
from transferlab.data.loading.dataset import EvaluationSet, Images, as_is
from transferlab.data.loading.sampler import EvaluationBatches
from transferlab.data.loading.workers import batch_loader, choose_workers
from transferlab.data.module import DataModule
from transferlab.data.preprocessing import Preprocessing


def other_parts(data: DataModule, classes: tuple[str, ...]) -> tuple[dict[str, Catalog], list[str]]:
    """The catalogs to evaluate a model on that was not trained on this data, and what the user should know.

    `test` is the target where there is one, and the source is `source_test` then. Of data that comes with a
    test part that part is taken, else all of it.

    Args:
        data: not loaded; its splits and shots are not asked for.
        classes: those of the model, in its order.

    Raises:
        DataError: data that can not be used, or classes that the model does not know.
    """
    source = ("source_test", data.source) if data.target is not None else ("test", data.source)
    found: dict[str, Catalog] = {}
    notices: list[str] = []
    for part, place in (("test", data.target), source):
        if place is None:
            continue
        catalog = usable(place, data.on_bad_image, check_images=data.check_images)
        notices += catalog.notices
        tested = catalog.table["split"] == "test"
        if tested.any():
            notices.append(
                f"{part}: of {len(catalog)} images the {int(tested.sum())} of the data's own test part."
            )
            catalog = catalog.select(tested)
        found[part] = with_classes(catalog, classes)
    return found, notices


def with_classes(catalog: Catalog, classes: tuple[str, ...]) -> Catalog:
    """The same samples with their labels as codes into other classes, matched by name.

    Raises:
        DataError: samples of classes that are not among these.
    """
    names = catalog.table["label"].map(dict(enumerate(catalog.classes)), na_action="ignore")
    unknown = sorted(set(names.dropna()) - set(classes))
    if unknown:
        raise DataError(
            f"The model does not know {some(unknown)}. It knows {some(classes, 20)}. Rename the classes of "
            "the data as the model has them, or leave these out."
        )
    codes = names.map({name: code for code, name in enumerate(classes)}, na_action="ignore")
    table = catalog.table.assign(label=pd.array(codes.to_list(), dtype="Int64"))
    return replace(catalog, table=table, classes=classes)


def evaluation_loader(
    catalog: Catalog, preprocessing: Preprocessing, *, batch_size: int, num_workers: int | str
) -> DataLoader[Any]:
    """Every sample once, in order: {"image": uint8 (N, 3, S, S), "index"} and, if all are known, "label"."""
    images = Images(catalog, preprocessing.evaluation_transform(), keep=False)
    batches = EvaluationBatches(len(images), batch_size=batch_size)
    workers = choose_workers(num_workers, in_memory=catalog.reader.in_memory)
    return batch_loader(EvaluationSet(images), batches, num_workers=workers, collate=as_is)
