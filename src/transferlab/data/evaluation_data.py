"""Samples for a model that exists: other images of its classes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch.utils.data import DataLoader

from transferlab.data.catalog.catalog import Catalog
from transferlab.data.catalog.names import class_name
from transferlab.data.data_error import DataError, some
from transferlab.data.data_settings import DataSettings
from transferlab.data.image.image_check import usable
from transferlab.data.image.preprocessing import Preprocessing
from transferlab.data.loading.batch_loader import batch_loader
from transferlab.data.loading.dataset import EvaluationSet, Images
from transferlab.data.loading.sampler import EvaluationBatches
from transferlab.data.loading.workers import choose_workers


def other_splits(settings: DataSettings, classes: tuple[str, ...]) -> tuple[dict[str, Catalog], list[str]]:
    """The catalogs to evaluate a model of these classes on that was not trained on this data, and notes.

    `test` is the target where there is one, and the source is `source_test` then. Of data that comes with a
    test split that split is taken, else all of it; settings of splits and shots are ignored.

    Raises:
        DataError: data that cannot be used, or classes that the model does not have.
    """
    source = ("source_test" if settings.target is not None else "test", settings.source)
    found: dict[str, Catalog] = {}
    notes: list[str] = []
    for name, place in (("test", settings.target), source):
        if place is None:
            continue
        catalog = usable(place, settings)
        notes += catalog.notes
        tested = catalog.table["split"] == "test"
        if tested.any():
            notes.append(
                f"{name}: of {len(catalog)} images the {int(tested.sum())} of the data's own test split."
            )
            catalog = catalog.select(tested)
        found[name] = with_classes(catalog, classes)
    return found, notes


def with_classes(catalog: Catalog, classes: tuple[str, ...]) -> Catalog:
    """The same samples with their labels as codes into other classes, matched by name.

    Raises:
        DataError: samples of classes that are not among these.
    """
    spelled = {class_name(name): name for name in classes}  # an older model's may have blanks around
    catalog = replace(catalog, classes=tuple(spelled.get(name, name) for name in catalog.classes))
    unknown = sorted(set(catalog.label_names.dropna()) - set(classes))
    if unknown:
        raise DataError(
            f"The model does not know {some(unknown)}. It knows {some(classes, 20)}. Rename the classes of "
            "the data as the model has them, or leave these out."
        )
    return catalog.with_classes(classes)


def evaluation_loader(
    catalog: Catalog, preprocessing: Preprocessing, *, batch_size: int, num_workers: int | str
) -> DataLoader[Any]:
    """Every sample once, in order: {"image": uint8 (N, 3, S, S), "index"} and, if all are known, "label"."""
    images = Images(catalog, preprocessing.evaluated, cache=False)
    batches = EvaluationBatches(len(images), batch_size=batch_size)
    workers = choose_workers(num_workers, in_memory=catalog.reader.in_memory)
    dataset = EvaluationSet({"image": images}, catalog.codes if catalog.labelled else None)
    return batch_loader(dataset, batches, num_workers=workers)
