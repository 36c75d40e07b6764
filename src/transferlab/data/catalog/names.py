"""Names of classes, samples and splits, as a catalog has them."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence

from transferlab.data.data_error import DataError, some
from transferlab.run.printable import printable

SPLIT_NAMES = {  # that a source may use
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validation", "validate", "dev", "development"),
    "test": ("test", "testing", "tst"),
}
SPLIT_OF = {alias: split for split, aliases in SPLIT_NAMES.items() for alias in aliases}
# What may stand beside such a name without a meaning of its own: `training_set`, `test images`, `valdata`
_FILLERS = "set", "split", "data", "dataset", "images", "imgs", "img", "photos", "pictures", "folder"


def class_name(text: str) -> str:
    r"""A class's name as everything spells it: composed (NFC), on one line, without blanks around.

    >>> class_name(" dog\n"), class_name("Cafe\u0301") == "Caf\xe9"
    ('dog', True)
    """
    return printable(" ".join(unicodedata.normalize("NFC", text).split()))


def ordered_classes(names: Iterable[str]) -> tuple[str, ...]:
    """The different names, numbers by value and all else by letter; a total order.

    >>> ordered_classes(["10", "9", "", "9"]), ordered_classes(["b", "a"]), ordered_classes(["1", "01"])
    (('9', '10'), ('a', 'b'), ('01', '1'))
    """
    different = {name for name in names if name}
    try:
        return tuple(sorted(different, key=lambda name: (int(name), name)))
    except ValueError:
        return tuple(sorted(different))


def notes_on_names(found: Iterable[str], place: object) -> list[str]:
    """Notes on the class names of a place: those taken as one, and those so alike that they may be one.

    Args:
        found: the names as they stand there, each once or more often.
        place: a file or folder, for the sentence.
    """
    spellings, classes = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    for name in set(found) - {""}:
        spellings[class_name(name)].add(name)
        classes[_alike(class_name(name))].add(class_name(name))
    notes = []
    for name, written in sorted(spellings.items()):
        if len(written) > 1:
            notes.append(
                f"{place}: class {name} is written in {len(written)} ways "
                f"({some(sorted(ascii(way) for way in written))}): taken as one."
            )
    for names in classes.values():
        if len(names) > 1:
            how = (
                "equal as numbers" if next(iter(names)).isdecimal() else "alike but for upper and lower case"
            )
            notes.append(
                f"{place}: classes {some(sorted(names))} are {how}. They are different classes here; if they "
                "are one, spell them alike."
            )
    return notes


def _alike(name: str) -> str:
    return str(int(name)) if name.isdecimal() else name.casefold()


def sample_names(files: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    r"""Names of samples by the paths of their files, and the paths of those that cannot be named so.

    A path with control characters, or of bytes that are no UTF-8, is a name with escapes: it stands in tables
    and is printed.

    Raises:
        DataError: two files have one name then.

    >>> sample_names(["a/1.png", "a/caf\udce9.png"])
    (['a/1.png', 'a/caf\\xe9.png'], {'a/caf\\xe9.png': 'a/caf\udce9.png'})
    """
    samples = [printable(file) for file in files]
    odd = {sample: file for sample, file in zip(samples, files, strict=True) if sample != file}
    if odd and len(set(samples)) < len(set(files)):
        double = [sample for sample in odd if samples.count(sample) > 1]
        raise DataError(
            f"Different files are all called {some(double)} when printed. Fix: rename one of them."
        )
    return samples, odd


def split_of(name: str) -> str | None:
    """The split that a name stands for, none if it may be anything else.

    >>> split_of("Training set"), split_of("val"), split_of("testdata"), split_of("test tube")
    ('train', 'val', 'test', None)
    """
    words = _words(name)
    splits = {SPLIT_OF[word] for word in words if word in SPLIT_OF}
    others = [word for word in words if word not in SPLIT_OF and word not in _FILLERS]
    return splits.pop() if len(splits) == 1 and not others else None


def split_within(name: str) -> str | None:
    """The one split that a name mentions among other words.

    >>> split_within("seg_train"), split_within("flowers-test"), split_within("trainer"), split_within("cat")
    ('train', 'test', None, None)
    """
    splits = {SPLIT_OF[word] for word in _words(name) if word in SPLIT_OF}
    return splits.pop() if len(splits) == 1 else None


def _words(name: str) -> list[str]:
    words = []
    for word in re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)):
        word = word.lower()
        filler = next((end for end in _FILLERS if word.endswith(end) and word[: -len(end)] in SPLIT_OF), "")
        words += [word.removesuffix(filler), filler] if filler else [word]
    return words
