"""A folder of images: one sub-folder for each class, with or without train, val and test above them."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from difflib import get_close_matches
from pathlib import Path

from transferlab.config.bounds import PositiveInt
from transferlab.data.catalog.catalog import Catalog, catalog_table
from transferlab.data.catalog.folder_layout import root_within, shared_folders, split_folders
from transferlab.data.catalog.names import class_name, notes_on_names, sample_names
from transferlab.data.catalog.walking import ImageFiles, visible_folders
from transferlab.data.data_error import DataError, some
from transferlab.data.image.file_facts import hash_files
from transferlab.data.image.reader import FileReader
from transferlab.run.printable import printable


@dataclass(frozen=True)
class Folder:
    """Image files in a sub-folder for each class, directly or inside `train`, `val` and `test`.

    A class's folder is searched to any depth. Splits that are missing are carved from `train`; without splits
    everything is split. Hidden folders are not classes. Images directly in the root, without any class
    folder, are unlabelled: good for a target domain.

    `conf/data/catalog/folder.yaml` describes the arguments.
    """

    root: str | None
    _: KW_ONLY
    max_pixels: PositiveInt = 100_000_000

    def load(self) -> Catalog:
        root = existing_folder(self.root)
        found = ImageFiles(root)
        splits = split_folders(root)
        if splits:
            for split, folder in splits.items():
                found.add_classes(folder, split)
            taken = [folder.relative_to(root).parts[0] for folder in splits.values()]
            extra = [path.name for path in visible_folders(root) if path.name not in taken]
            if extra:
                found.notes.append(
                    f"{printable(root)}: ignored {some(extra)}, beside the folders {some(taken)}."
                )
            if unlike := [
                f"{name} as {split}" for split, name in zip(splits, taken, strict=True) if name != split
            ]:
                found.notes.append(f"{printable(root)}: folders taken as splits: {some(unlike)}.")
        elif visible_folders(root):
            found.add_classes(root, None)
        else:
            found.add_unlabelled(root)
        if not found.files:
            unread = " and ".join(folder.unread for folder in found.folders if folder.unread)
            but = f" that can be read, but {unread}" if unread else ""
            raise DataError(
                f"data.root={printable(root)} holds no images{but}. It should hold one folder of images for "
                "each class."
            )
        classes = ordered_by_letter(found)
        problems = _problems(found, root, self.root)
        if not splits:
            unclear, notes = shared_folders(found.folders, root)
            problems += unclear
            found.notes += notes
        names = [folder.path.name for folder in found.folders] if classes else []
        codes = {name: code for code, name in enumerate(classes)}
        samples, odd = sample_names(found.files)
        return Catalog(
            table=catalog_table(
                samples,
                [None if name is None else codes[name] for name in found.class_names],
                hash_files(root, found.files, max_pixels=self.max_pixels),
                domain=class_name(root.name),
                splits=found.splits,
            ),
            classes=classes,
            reader=FileReader(root, max_pixels=self.max_pixels, odd=odd),
            notes=(*found.notes, *notes_on_names(names, printable(root))),
            problems=tuple(problems),
        )


def existing_folder(root: str | None) -> Path:
    """`root` with `~` and links resolved; raises `DataError`."""
    if not root:
        raise DataError("data.root has no value. Set it to a folder of images: data.root=DIR.")
    path = Path(root).expanduser()
    try:
        if not path.exists():
            raise DataError(f"data.root={root} does not exist (looked for {path.absolute()}).{_beside(path)}")
        if not path.is_dir():
            raise DataError(f"data.root={root} is a file. Give the folder of images that holds it.")
        return path.resolve()
    except OSError as error:
        raise DataError(f"data.root={root} cannot be read ({error.strerror}).") from None


def _beside(path: Path) -> str:
    others = path.parent.iterdir() if path.parent.is_dir() else ()
    close = get_close_matches(path.name, [other.name for other in others], n=1)
    return f" Did you mean {path.parent / close[0]}?" if close else ""


def ordered_by_letter(found: ImageFiles) -> tuple[str, ...]:
    """All classes, those of empty folders as well; none where images lie in the root itself."""
    empty = {class_name(folder.path.name) for folder in found.folders if not folder.num_images}
    labelled = {name for name in found.class_names if name is not None}
    return tuple(sorted(labelled | empty))


def _problems(found: ImageFiles, root: Path, typed: str | None) -> list[str]:
    """Reasons why nothing can be trained on these classes."""
    labelled = {name for name in found.class_names if name is not None}
    problems = []
    for folder in found.folders:
        name = class_name(folder.path.name)
        if not folder.num_images and name not in labelled:
            unread = f" that can be read, but {folder.unread}" if folder.unread else ""
            problems.append(
                f"{printable(folder.path)} holds no images{unread}, so class {name} is empty. Add images or "
                "delete it."
            )
    placed = zip(found.class_names, found.splits, strict=True)
    trained = {name for name, split in placed if split in (None, "train")}
    for name in sorted(labelled - trained):
        alike = next((other for other in trained if other and other.casefold() == name.casefold()), None)
        problems.append(
            f"{printable(root)}: class {name} has images to validate or test on but none in train."
            + (f" Did you mean {alike}? Spell both alike." if alike else "")
        )
    if len(labelled) == 1:
        [only] = [folder.path for folder in found.folders if folder.num_images][:1]
        within = root_within(only)
        hint = (
            f"Did you mean data.root={printable(Path(str(typed)) / within.relative_to(root))}?"
            if within is not None
            else "Telling classes apart takes two or more, each in a folder of its own."
        )
        example = printable(found.files[0])
        problems.append(f"{printable(root)} holds one class only ({some(labelled)}), e.g. {example}. {hint}")
    return problems
