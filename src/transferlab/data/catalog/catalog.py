"""The table of samples that everything but pixels works on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd

from transferlab.data.data_error import DataError
from transferlab.data.image.reader import Reader

COLUMNS = ["sample", "label", "group", "split", "domain"]


@dataclass(frozen=True)
class Catalog:
    """Samples of one domain, without their pixels.

    `table` has one row per sample:
        sample: a name that is unique in the catalog and that `reader` understands.
        label: code into `classes` (Int64), NA where unknown.
        group: samples of one group (a patient, say) stay together; NA = a group of its own.
        split: `train`, `val` or `test` where the source fixes it, NA where we choose.
        domain: a name for the eyes.
        content: a hash of the sample's bytes; equal hashes are exact duplicates.
    `notes` are sentences for the user: what was skipped, assumed or carved. `problems` are reasons why
    nothing can be trained on it; `usable` raises them, an inspection shows them. `label_kind` says what
    labels are.
    """

    table: pd.DataFrame
    classes: tuple[str, ...]
    reader: Reader
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    label_kind: Literal["class"] = "class"

    def __len__(self) -> int:
        return len(self.table)

    @property
    def samples(self) -> list[str]:
        return self.table["sample"].tolist()

    @property
    def codes(self) -> np.ndarray:
        """Class codes (N,) int64; -1 where unknown."""
        return self.table["label"].fillna(-1).to_numpy(dtype=np.int64)

    @property
    def labelled(self) -> bool:
        """True if every sample has a label."""
        return bool(self.table["label"].notna().all())

    @property
    def class_counts(self) -> np.ndarray:
        """Number of samples of each class, in the order of `classes`."""
        codes = self.table["label"].dropna().to_numpy(dtype=np.int64)
        return np.bincount(codes, minlength=len(self.classes))

    def usable(self) -> Catalog:
        """The catalog itself; raises `DataError` with all its problems if it has any."""
        if self.problems:
            raise DataError("\n".join(self.problems))
        return self

    def select(self, chosen: pd.Series | np.ndarray) -> Catalog:
        """The rows where `chosen` is true."""
        return replace(self, table=self.table[np.asarray(chosen, dtype=bool)].reset_index(drop=True))

    @property
    def label_names(self) -> pd.Series:
        """The class of each sample by name, NA where unknown."""
        return self.table["label"].map(dict(enumerate(self.classes)), na_action="ignore")

    def with_classes(self, classes: tuple[str, ...]) -> Catalog:
        """The same samples with their labels as codes into other classes, which hold all of theirs."""
        codes = self.label_names.map({name: code for code, name in enumerate(classes)}, na_action="ignore")
        table = self.table.assign(label=pd.array(codes.to_list(), dtype="Int64"))
        return replace(self, table=table, classes=classes)

    def without_labels(self) -> Catalog:
        """The same samples with every label forgotten: what training may see of a target domain."""
        unknown = pd.array([pd.NA] * len(self.table), dtype="Int64")
        return replace(self, table=self.table.assign(label=unknown))

    def fingerprint(self) -> str:
        """A hash of samples, labels and contents; independent of order, location and file dates."""
        digest = hashlib.blake2b(digest_size=16)
        names = [*self.classes, "?"]  # the last is that of code -1
        rows = self.table[["sample", "content"]].assign(code=self.codes).sort_values("sample")
        for sample, content, code in zip(*(rows[name] for name in rows), strict=True):
            digest.update(f"{sample}\0{names[code]}\0{content}\n".encode())
        return digest.hexdigest()


class CatalogSource(Protocol):
    """A configured place that samples come from; building one reads nothing."""

    def load(self) -> Catalog:
        """Find the samples; raises `DataError` where they cannot be used."""
        ...


def catalog_table(
    samples: Sequence[str],
    labels: Iterable[int | None],
    contents: Sequence[str],
    domain: str,
    groups: Sequence[Any] | None = None,
    splits: Sequence[Any] | None = None,
) -> pd.DataFrame:
    """A catalog's table with the right columns and types."""
    return pd.DataFrame(
        {
            "sample": pd.Series(samples, dtype=object),
            "label": pd.array([pd.NA if label is None else int(label) for label in labels], dtype="Int64"),
            "group": pd.Series(groups or [None] * len(samples), dtype=object),
            "split": pd.Series(splits or [None] * len(samples), dtype=object),
            "domain": domain,
            "content": pd.Series(contents, dtype=object),
        }
    )
