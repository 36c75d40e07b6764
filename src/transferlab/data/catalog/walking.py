"""Finds image files without following links out of the root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from transferlab.data.data_error import DataError, some

SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jp2"),
    *(".png", ".gif", ".webp", ".avif", ".bmp", ".tga", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
}
NOT_CLASSES = frozenset({"__macosx", "@eadir", "__pycache__", "$recycle.bin", "lost+found"})


class ImageFiles:
    """Collects samples (paths relative to the root), their classes and splits, and what was passed over."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.samples: list[str] = []
        self.class_names: list[str | None] = []
        self.splits: list[str | None] = []
        self.empty_folders: list[Path] = []
        self.notes: list[str] = []

    def add_classes(self, folder: Path, split: str | None) -> None:
        """Every visible sub-folder of `folder` as a class."""
        class_folders = visible_folders(folder)
        if not class_folders:
            raise DataError(
                f"{folder} holds no class folders. It should hold one folder of images for each class."
            )
        for class_folder in class_folders:
            if not self._add(class_folder, class_folder.name, split):
                self.empty_folders.append(class_folder)
        loose = [name for name in _file_names(folder) if is_image(name)]
        if loose:
            self.notes.append(
                f"{folder}: ignored {some(loose)}: images beside the class folders have no class."
            )

    def add_unlabelled(self, folder: Path) -> None:
        """Every image of `folder`, without a class."""
        self._add(folder, None, None)

    def _add(self, folder: Path, class_name: str | None, split: str | None) -> int:
        before, passed_over = len(self.samples), []
        for path in walk_files(folder, self.root):
            if is_image(path.name):
                self.samples.append(path.relative_to(self.root).as_posix())
                self.class_names.append(class_name)
                self.splits.append(split)
            else:
                passed_over.append(path.name)
        if passed_over:
            self.notes.append(f"{folder}: ignored {some(passed_over)}, by their names no images.")
        return len(self.samples) - before


def is_image(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES


def is_hidden(name: str) -> bool:
    """Names such as `.ipynb_checkpoints` and `__MACOSX`."""
    return name.startswith(".") or name.lower() in NOT_CLASSES


def visible_folders(folder: Path) -> list[Path]:
    """The sub-folders that a person would call such, sorted by name."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name))


def _file_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file() and not is_hidden(path.name))


def walk_files(folder: Path, root: Path) -> Iterator[Path]:
    """Visible files below `folder`, sorted; raises `DataError` at a link that loops or leaves `root`."""
    _refuse_link(folder, root)
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if is_hidden(entry.name):
            continue
        path = Path(entry.path)
        if entry.is_dir():
            yield from walk_files(path, root)
        else:
            _refuse_link(path, root)
            yield path


def _refuse_link(path: Path, root: Path) -> None:
    if not path.is_symlink():
        return
    try:
        end = path.resolve(strict=True)
    except (OSError, RuntimeError):
        raise DataError(
            f"{path} is a symbolic link to nothing that exists, or to itself. Delete it."
        ) from None
    if not end.is_relative_to(root):
        raise DataError(
            f"{path} is a symbolic link out of data.root={root} (to {end}). Copy the files, or name them in "
            "a table (data=table)."
        )
    if path.parent.resolve().is_relative_to(end):
        raise DataError(f"{path} is a symbolic link to a folder that holds it ({end}): a loop. Delete it.")
