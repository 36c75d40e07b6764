"""A data set of the `datasets` library, from a local folder or by its name on the hub."""

from __future__ import annotations

import contextlib
import io
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transferlab.config.bounds import PositiveInt
from transferlab.data.catalog.catalog import Catalog, catalog_table
from transferlab.data.catalog.names import class_name, notes_on_names, ordered_classes, split_of
from transferlab.data.data_error import DataError, some
from transferlab.data.image.file_facts import is_racy, verifies_contents
from transferlab.data.image.file_index import MOST_BYTES, stamps_of
from transferlab.data.image.reader import EncodedReader, content_hash
from transferlab.run.cache import cache_folder, evict, mark_used, write_whole


@dataclass(frozen=True)
class HuggingFace:
    """Splits named train, validation, test (or the like) are used as such; a single one is split here.

    Needs the extra `huggingface`. A local folder (what `save_to_disk` wrote, or Parquet, or an image folder)
    needs no network.

    `conf/data/catalog/huggingface.yaml` describes the arguments.
    """

    path: str | None
    _: KW_ONLY
    subset: str | None = None
    image_column: str = "image"
    label_column: str = "label"
    group_column: str | None = None
    max_pixels: PositiveInt = 100_000_000

    def load(self) -> Catalog:
        splits = load_splits(self.path, self.subset)
        names = split_names(list(splits), self.path)
        samples: list[str] = []
        contents: list[str] = []
        labels: list[str] = []
        groups: list[str | None] = []
        places: list[str | None] = []
        for name, rows in splits.items():
            self._require_columns(rows)
            encoded = as_encoded(rows, self.image_column)
            splits[name] = encoded
            samples += [f"{name}/{number:07d}" for number in range(len(rows))]
            contents += row_contents(encoded, self.image_column)
            labels += label_names(rows, self.label_column)
            groups += [None] * len(rows) if self.group_column is None else map(_text, rows[self.group_column])
            places += [names[name]] * len(rows)
        written, labels = set(labels), [class_name(label) for label in labels]
        known = ordered_classes(labels)
        classes = declared_classes(splits, self.label_column) or known
        problem = f"{self.path}: column {self.label_column} holds one class only."
        codes = {name: code for code, name in enumerate(classes)}
        return Catalog(
            table=catalog_table(
                samples,
                [codes.get(label) for label in labels],
                contents,
                domain=Path(str(self.path)).name,
                groups=groups,
                splits=places,
            ),
            classes=classes,
            reader=RowReader(splits, self.image_column, str(self.path), max_pixels=self.max_pixels),
            notes=tuple(notes_on_names(written, self.path)),
            problems=() if len(known) > 1 else (problem,),
        )

    def _require_columns(self, rows: Any) -> None:
        for option in ("image_column", "label_column", "group_column"):
            name = getattr(self, option)
            if name is not None and name not in rows.column_names:
                raise DataError(
                    f"{self.path} has no column {name} (data.source.{option}). It has "
                    f"{some(rows.column_names, 20)}."
                )


@dataclass(frozen=True, eq=False)
class RowReader(EncodedReader):
    """Images in the rows of data sets; samples are named `split/row`."""

    splits: dict[str, Any]
    column: str
    path: str

    def content(self, sample: str) -> bytes:
        name, number = sample.rsplit("/", 1)
        return encoded_bytes(self.splits[name][int(number)][self.column])

    def place(self, sample: str) -> str:
        return f"{self.path}, {sample}"


def load_splits(path: str | None, subset: str | None) -> dict[str, Any]:
    """Every split by name; raises `DataError`."""
    if not path:
        raise DataError(
            "data.source.path has no value. Set it to a folder or to a data set's name on the hub."
        )
    try:
        import datasets
    except ImportError:
        raise DataError("data=huggingface needs the extra: pip install 'transferlab[huggingface]'.") from None
    folder = Path(path).expanduser()
    try:
        saved = any((folder / name).is_file() for name in ("dataset_dict.json", "state.json"))
        loaded = datasets.load_from_disk(str(folder)) if saved else datasets.load_dataset(path, subset)
    except Exception as error:  # files, parsers and the network: anything can come
        raise DataError(f"data.source.path={path} cannot be loaded: {str(error).splitlines()[0]}") from None
    return dict(loaded) if isinstance(loaded, dict) else {"train": loaded}


def split_names(names: list[str], path: str | None) -> dict[str, str | None]:
    """Our name of each split; none where there is a single one, which is divided by us."""
    if len(names) == 1:
        return {names[0]: None}
    unknown = [name for name in names if split_of(name) is None]
    if unknown:
        raise DataError(f"{path} has splits that are no train, validation or test: {some(unknown)}.")
    return {name: split_of(name) for name in names}


def as_encoded(rows: Any, column: str) -> Any:
    """The same rows, images left encoded."""
    import datasets

    if not isinstance(rows.features[column], datasets.Image):
        raise DataError(
            f"Column {column} holds {rows.features[column]}, not images. Set data.source.image_column."
        )
    return rows.cast_column(column, datasets.Image(decode=False))


def encoded_bytes(cell: dict[str, Any] | None) -> bytes:
    """The bytes of an undecoded image cell; empty where there is none."""
    if cell is None:
        return b""
    return cell["bytes"] if cell["bytes"] is not None else Path(cell["path"]).read_bytes()


def row_contents(rows: Any, column: str) -> list[str]:
    """A content hash of each row's undecoded image; remembered, so that a second start reads none.

    Relies on the fingerprint of `datasets`, which every change made with that library changes, together with
    size, time and inode of the files that hold the rows, which a change made without it changes. Images that
    lie in files of their own are read each time, and all are with `data.verify=contents`.
    """
    files = [Path(each["filename"]) for each in rows.cache_files]
    stamps = stamps_of(Path("/"), [str(file.absolute()) for file in files])
    identity = f"{rows._fingerprint} {len(rows)} {column} {stamps.tolist()}"
    place = cache_folder("rows") / f"{content_hash(identity.encode())}.npy"
    is_stable = not (stamps < 0).any() and not is_racy(stamps)
    known = None if verifies_contents() or not is_stable else _remembered(place, len(rows))
    if known is not None:
        return known
    cells, is_whole, hashes = rows[column], True, []
    for cell in cells:
        is_whole &= cell is None or cell["bytes"] is not None
        hashes.append(content_hash(encoded_bytes(cell)))
    if is_whole and is_stable:
        stored = io.BytesIO()
        np.save(stored, np.frombuffer(bytes.fromhex("".join(hashes)), np.uint8).reshape(-1, 16))
        with contextlib.suppress(OSError):  # a home that cannot be written to costs time only
            write_whole(place, stored.getvalue())
            evict(place.parent.glob("*.npy"), MOST_BYTES, last=[place])
    return hashes


def _remembered(place: Path, num_rows: int) -> list[str] | None:
    try:
        stored = np.load(place, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if stored.dtype != np.uint8 or stored.shape != (num_rows, 16):
        return None
    mark_used(place)
    return [row.tobytes().hex() for row in stored]


def label_names(rows: Any, column: str) -> list[str]:
    """The class of each row as text, empty where it is unknown (such sets write -1)."""
    names = getattr(rows.features[column], "names", None)
    if names is None:
        return [_text(value) or "" for value in rows[column]]
    return ["" if value is None or value < 0 else names[value] for value in rows[column]]


def declared_classes(splits: dict[str, Any], column: str) -> tuple[str, ...]:
    """The class names that the first split declares, in its order, each once; none if it declares none."""
    names = getattr(next(iter(splits.values())).features[column], "names", ())
    return tuple(dict.fromkeys(map(class_name, names)))


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
