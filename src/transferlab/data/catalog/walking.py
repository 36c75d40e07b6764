"""Finds image files without following links out of the root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from transferlab.data.catalog.names import class_name
from transferlab.data.data_error import DataError, some
from transferlab.data.image.file_kinds import (
    LONGEST_MAGIC,
    counted_kinds,
    kind_by_content,
    kind_by_name,
    looks_like_image,
)
from transferlab.run.printable import printable

SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jp2"),
    *(".png", ".gif", ".webp", ".avif", ".bmp", ".tga", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
}
NOT_CLASSES = frozenset({"__macosx", "@eadir", "__pycache__", "$recycle.bin", "lost+found"})
_MOST_LOOKED_INTO = 50  # files without a known ending that are opened, in a folder


@dataclass(frozen=True)
class ClassFolder:
    """A folder of one class, as it was found."""

    path: Path
    num_images: int
    unread: str = ""  # images in formats that are not read, for a sentence


class ImageFiles:
    """Collects files (paths relative to the root), their classes and splits, and what was passed over."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: list[str] = []
        self.class_names: list[str | None] = []
        self.splits: list[str | None] = []
        self.folders: list[ClassFolder] = []
        self.notes: list[str] = []

    def add_classes(self, folder: Path, split: str | None) -> None:
        """Every visible sub-folder of `folder` as a class."""
        class_folders = visible_folders(folder)
        if not class_folders:
            raise DataError(
                f"{printable(folder)} holds no class folders. It should hold one folder of images for each "
                "class."
            )
        for class_folder in class_folders:
            name = class_name(class_folder.name)
            if not name:
                raise DataError(
                    f"{printable(class_folder)!r}: a class needs a name. Fix: rename this folder."
                )
            self._add(class_folder, name, split)
        loose = [name for name in _file_names(folder) if is_image(name)]
        if loose:
            self.notes.append(
                f"{printable(folder)}: ignored {some(loose)}: images beside the class folders have no class."
            )

    def add_unlabelled(self, folder: Path) -> None:
        """Every image of `folder`, without a class."""
        self._add(folder, None, None)

    def _add(self, folder: Path, class_name: str | None, split: str | None) -> None:
        before, passed_over = len(self.files), PassedOver()
        for entry in walk_files(folder, self.root, passed_over):
            if is_image(entry.name):
                self.files.append(from_root(entry, self.root))
                self.class_names.append(class_name)
                self.splits.append(split)
            else:
                passed_over.add_file(Path(entry.path))
        self.notes += passed_over.notes(folder)
        unread = counted_kinds(passed_over.kinds)
        self.folders.append(ClassFolder(folder, len(self.files) - before, unread))


class PassedOver:
    """The files that a walk through a folder does not take."""

    def __init__(self) -> None:
        self.kinds: list[str] = []  # of images in formats that are not read
        self.special: list[str] = []  # neither files nor folders
        self._others: list[str] = []
        self._nameless: list[str] = []  # images by their content alone
        self._num_looked_into = 0

    def add_file(self, path: Path) -> None:
        """A file that is no image by its name."""
        kind, is_picture = kind_by_name(path.name), False
        if kind is None and self._num_looked_into < _MOST_LOOKED_INTO:
            self._num_looked_into += 1
            content = _beginning(path)
            kind, is_picture = kind_by_content(content), looks_like_image(content)
            kind = kind if kind in ("HEIC", "DICOM") else None  # a text is a text
        if kind is not None:
            self.kinds.append(kind)
        else:
            (self._nameless if is_picture else self._others).append(path.name)

    def notes(self, folder: Path) -> Iterator[str]:
        """A sentence for the user on each kind of what was passed over."""
        place = printable(folder)
        if self.kinds:
            yield f"{place}: not read: {counted_kinds(self.kinds)}."
        if self._nameless:
            yield (
                f"{place}: ignored {some(self._nameless)}: images by their content, but without an ending "
                "that says so. Fix: rename them, e.g. to NAME.jpg."
            )
        if self._others:
            yield f"{place}: ignored {some(self._others)}, by their names no images."
        if self.special:
            yield f"{place}: ignored {some(self.special)}: a pipe, a socket or a device, not a file."


def is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122 (a million names)


def is_hidden(name: str) -> bool:
    """Names such as `.ipynb_checkpoints` and `__MACOSX`."""
    return name.startswith(".") or name.lower() in NOT_CLASSES


def visible_folders(folder: Path) -> list[Path]:
    """The sub-folders that a person would call such, sorted by name."""
    entries = _entries(folder)
    for entry in entries:
        if entry.is_symlink():
            _refuse_dead_link(Path(entry.path))
    return [Path(entry.path) for entry in entries if entry.is_dir()]


def _file_names(folder: Path) -> list[str]:
    return [entry.name for entry in _entries(folder) if entry.is_file()]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """The entries of a folder that are not hidden, sorted by name; raises `DataError`."""
    try:
        with os.scandir(folder) as entries:
            return sorted((each for each in entries if not is_hidden(each.name)), key=lambda each: each.name)
    except OSError as error:
        raise DataError(
            f"{printable(folder)}: this folder cannot be read ({error.strerror}). Fix: have its owner give "
            "you the right to read it (chmod -R a+rX FOLDER), or move it out of the data."
        ) from None


def from_root(entry: os.DirEntry[str], root: Path) -> str:
    """The path of a file below `root`, from there: `relative_to` takes ten times as long."""
    return entry.path.removeprefix(os.path.join(root, ""))  # noqa: PTH118 (a million names)


def walk_files(folder: Path, root: Path, passed_over: PassedOver | None = None) -> Iterator[os.DirEntry[str]]:
    """Visible regular files below `folder`, sorted; `passed_over` collects what is neither file nor folder.

    Raises:
        DataError: a link that loops, leads nowhere or leaves `root`, or a folder that cannot be read.
    """
    _refuse_link(folder, root)
    for entry in _entries(folder):
        if entry.is_symlink():
            _refuse_link(Path(entry.path), root)
        if entry.is_dir():
            yield from walk_files(Path(entry.path), root, passed_over)
        elif entry.is_file():
            yield entry
        elif passed_over is not None:
            passed_over.special.append(entry.name)


def _refuse_link(path: Path, root: Path) -> None:
    if not path.is_symlink():
        return
    _refuse_dead_link(path)
    end = path.resolve()
    if not end.is_relative_to(root):
        raise DataError(
            f"{printable(path)} is a symbolic link out of data.root={printable(root)} (to {printable(end)}). "
            "Copy the files, or name them in a table (data=table)."
        )
    if path.parent.resolve().is_relative_to(end):
        raise DataError(
            f"{printable(path)} is a symbolic link to a folder that holds it ({printable(end)}): a loop. "
            "Delete it."
        )


def _refuse_dead_link(path: Path) -> None:
    try:
        if path.is_symlink():
            path.resolve(strict=True)
    except PermissionError:
        raise DataError(
            f"{printable(path)} is a symbolic link to a place that cannot be read. Delete it."
        ) from None
    except (OSError, RuntimeError):
        raise DataError(
            f"{printable(path)} is a symbolic link to nothing that exists, or to itself. Delete it."
        ) from None


def _beginning(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LONGEST_MAGIC)
    except OSError:
        return b""
