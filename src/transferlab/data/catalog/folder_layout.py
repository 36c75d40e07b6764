"""Layout of a folder of images: split folders, folders around the data, folders that are no classes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from transferlab.data.catalog.names import SPLIT_NAMES, split_of, split_within
from transferlab.data.catalog.walking import ClassFolder, is_image, visible_folders
from transferlab.data.data_error import DataError, some
from transferlab.run.printable import printable

_FEWEST_SHARED = 2  # sub-folders of the same names in several folders: then these are hardly classes


def split_folders(root: Path) -> dict[str, Path]:
    """The folders for train, val and test, or none: a class may be called `train`, too.

    Names that mean a split and nothing else (`Train`, `test_set`, `valid`) are taken as such where one of
    them holds folders. Names that mention one (`seg_train`, `flowers_test`) are where the folders in them
    bear the same names.

    Raises:
        DataError: two folders could be the same split, or there is no train.
    """
    folders = visible_folders(root)
    for named in (split_of, split_within):
        by_split = {split: [each for each in folders if named(each.name) == split] for split in SPLIT_NAMES}
        splits = {split: fitting[0] for split, fitting in by_split.items() if fitting}
        if named is split_of:
            is_meant = any(visible_folders(folder) for folder in splits.values())
        else:
            train = _class_folder_names(splits["train"]) if "train" in splits else set()
            others = [folder for split, folder in splits.items() if split != "train"]
            is_meant = any(train & _class_folder_names(folder) for folder in others)
        if not is_meant:
            continue
        for split, fitting in by_split.items():
            if len(fitting) > 1:
                raise DataError(
                    f"{printable(root)}: {some(folder.name for folder in fitting)} could each be the {split} "
                    "split. Keep one."
                )
        if "train" not in splits:
            names = some(folder.name for folder in splits.values())
            raise DataError(f"{printable(root)} has {names} but no train folder.")
        return {split: inner_folder(folder) for split, folder in splits.items()}
    return {}


def _class_folder_names(folder: Path) -> set[str]:
    return {each.name for each in visible_folders(inner_folder(folder))}


def inner_folder(folder: Path) -> Path:
    """The folder itself; the one in it, to any depth, where it holds one folder of folders and no images.

    So `seg_train/seg_train/CLASS`, as archives unpack.
    """
    while True:
        inside = visible_folders(folder)
        if len(inside) != 1 or not visible_folders(inside[0]) or _has_images(folder):
            return folder
        folder = inside[0]


def root_within(folder: Path) -> Path | None:
    """The first folder below, to any depth, that holds several folders with images: there classes may be."""
    inside = [each for each in visible_folders(folder) if _holds_images(each)]
    if len(inside) > 1:
        return folder
    return root_within(inside[0]) if inside else None


def _has_images(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(is_image(entry.name) for entry in entries)


def _holds_images(folder: Path) -> bool:
    """True if there is an image at any depth."""
    return _has_images(folder) or any(_holds_images(each) for each in visible_folders(folder))


def shared_folders(class_folders: Sequence[ClassFolder], root: Path) -> tuple[list[str], list[str]]:
    """Problems and notes where class folders hold sub-folders of the same names: those may be the classes."""
    inside = {each.path: {sub.name for sub in visible_folders(each.path)} for each in class_folders}
    with_folders = {path: names for path, names in inside.items() if names}
    if len(with_folders) < 2:
        return [], []
    shared = set.intersection(*with_folders.values())
    if len(shared) < _FEWEST_SHARED:
        return [], []
    outer, inner = some(path.name for path in with_folders), some(sorted(shared))
    if len(with_folders) < len(class_folders):
        return [], [
            f"{printable(root)}: {outer} hold folders of the same names ({inner}). Each of the former is one "
            "class here."
        ]
    first = next(iter(with_folders)).name
    return [
        f"{printable(root)}: {outer} each hold folders of the same names ({inner}), so it is not clear which "
        "are the classes. Fix: if the outer ones are splits, call them train, val and test; if they are "
        f"domains, use data=domains, or one of them (data.root={printable(root / first)}); if they are the "
        "classes, move their images out of the inner folders, or name the images in a table (data=table)."
    ], []
