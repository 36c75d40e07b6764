"""A folder of images: one sub-folder for each class, with or without train, val and test above them."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from difflib import get_close_matches
from pathlib import Path

from transferlab.config.bounds import PositiveInt
from transferlab.data.catalog.catalog import SPLIT_NAMES, Catalog, catalog_table
from transferlab.data.catalog.walking import ImageFiles, visible_folders
from transferlab.data.data_error import DataError, some
from transferlab.data.image.file_facts import hash_files
from transferlab.data.image.reader import FileReader


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
        splits = _split_folders(root)
        if splits:
            for split, folder in splits.items():
                found.add_classes(folder, split)
            extra = [path.name for path in visible_folders(root) if path not in splits.values()]
            if extra:
                found.notes.append(f"{root}: ignored {some(extra)}, beside the folders {', '.join(splits)}.")
        elif visible_folders(root):
            found.add_classes(root, None)
        else:
            found.add_unlabelled(root)
        if not found.samples:
            raise DataError(
                f"data.root={root} holds no images. It should hold one folder of images for each class."
            )
        classes, problems = _class_names(found, root)
        codes = {name: code for code, name in enumerate(classes)}
        return Catalog(
            table=catalog_table(
                found.samples,
                [None if name is None else codes[name] for name in found.class_names],
                hash_files(root, found.samples, max_pixels=self.max_pixels),
                domain=root.name,
                splits=found.splits,
            ),
            classes=classes,
            reader=FileReader(root, max_pixels=self.max_pixels),
            notes=tuple(found.notes),
            problems=tuple(problems),
        )


def existing_folder(root: str | None) -> Path:
    """`root` with `~` and links resolved; raises `DataError`."""
    if not root:
        raise DataError("data.root has no value. Set it to a folder of images: data.root=DIR.")
    path = Path(root).expanduser()
    if not path.exists():
        raise DataError(f"data.root={root} does not exist (looked for {path.absolute()}).{_beside(path)}")
    if not path.is_dir():
        raise DataError(f"data.root={root} is a file. Give the folder of images that holds it.")
    return path.resolve()


def _beside(path: Path) -> str:
    others = path.parent.iterdir() if path.parent.is_dir() else ()
    close = get_close_matches(path.name, [other.name for other in others], n=1)
    return f" Did you mean {path.parent / close[0]}?" if close else ""


def _split_folders(root: Path) -> dict[str, Path]:
    """The folders for train, val and test, or none: a class may be called `train`, too."""
    folders = visible_folders(root)
    splits: dict[str, Path] = {}
    for split, names in SPLIT_NAMES.items():
        fitting = [folder for folder in folders if folder.name.lower() in names]
        if len(fitting) > 1:
            raise DataError(
                f"{root}: {some(f.name for f in fitting)} could each be the {split} split. Keep one."
            )
        if fitting:
            splits[split] = fitting[0]
    if not any(visible_folders(folder) for folder in splits.values()):
        return {}
    if "train" not in splits:
        raise DataError(f"{root} has {some(p.name for p in splits.values())} but no train folder.")
    return splits


def _class_names(found: ImageFiles, root: Path) -> tuple[tuple[str, ...], list[str]]:
    """All classes, by name, and what is wrong with them."""
    labelled = {name for name in found.class_names if name is not None}
    problems = [
        f"{folder} holds no images, so class {folder.name} is empty. Add images or delete it."
        for folder in found.empty_folders
    ]
    placed = zip(found.class_names, found.splits, strict=True)
    trained = {name for name, split in placed if split in (None, "train")}
    untrained = sorted(labelled - trained)
    if untrained:
        problems.append(
            f"{root}: class {some(untrained)} has images to validate or test on but none in train."
        )
    if len(labelled) == 1:
        problems.append(
            f"{root} holds one class only ({some(labelled)}), e.g. {found.samples[0]}. Telling classes apart "
            "takes two or more, each in a folder of its own."
        )
    return tuple(sorted(labelled | {folder.name for folder in found.empty_folders})), problems
