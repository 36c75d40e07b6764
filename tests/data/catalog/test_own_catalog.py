"""Catalogs of the user's own: what `make_catalog` makes of lists, and each wrong one's sentence."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from transferlab.config.instantiation import require
from transferlab.data.catalog.catalog import CatalogSource
from transferlab.data.catalog.digits import Digits
from transferlab.data.catalog.own_catalog import load, make_catalog
from transferlab.data.data_error import DataError
from transferlab.run.errors import UserError

PIXELS = {name: np.full((4, 5, 3), number, np.uint8) for number, name in enumerate("abc")} | {
    "d": np.zeros((4, 5, 3), np.uint8)
}


def test_from_a_function():
    splits, groups = ["train", "train", None, "test"], ["x", None, "x", None]
    catalog = make_catalog("abcd", ["10", 9, "9", None], read=PIXELS.get, splits=splits, groups=groups)
    assert catalog.classes == ("9", "10")
    assert catalog.codes.tolist() == [1, 0, 0, -1]
    assert catalog.table["split"].tolist() == splits
    assert catalog.table["group"].tolist() == groups
    content = catalog.table["content"].tolist()
    assert content[0] == content[3]
    assert len(set(content)) == 3
    assert catalog.reader("c").max() == 2
    assert not catalog.problems


def test_equal_bytes_of_other_shapes_are_other_images():
    shapes = {"a": (4, 5, 3), "b": (5, 4, 3)}
    catalog = make_catalog(list(shapes), ["x", "y"], read=lambda name: np.zeros(shapes[name], np.uint8))
    assert catalog.table["content"].nunique() == 2


def test_from_files(tmp_path):
    for name in "ab":
        Image.fromarray(PIXELS[name]).save(tmp_path / f"{name}.png")
    catalog = make_catalog(["a.png", "b.png"], ["x", "y"], root=tmp_path)
    assert np.array_equal(catalog.reader("b.png"), PIXELS["b"])
    with pytest.raises(DataError, match=r"c\.png cannot be read: No such file"):
        make_catalog(["c.png"], ["x"], root=tmp_path)


def test_any_layout_in_memory_will_do():
    """Channels reversed, as OpenCV's users do it, and what nobody may write to, as Pillow's."""
    frozen = np.zeros((4, 5, 3), np.uint8)
    frozen.setflags(write=False)
    for image in (PIXELS["b"][..., ::-1], frozen):
        got = make_catalog("a", ["x"], read=lambda sample, image=image: image).reader("a")
        assert np.array_equal(got, image)
        assert got.flags.writeable
        assert got.flags.c_contiguous


def failing(sample):
    raise KeyError(sample)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"labels": ["x"]}, "1 labels for 2 samples. Fix: "),
        ({"groups": ["x"]}, "1 groups for 2 samples"),
        ({"splits": ["train", "testing"]}, "splits holds testing. Fix: use train, val, test or None"),
        ({"samples": "aa"}, "samples come more than once: a. Fix: "),
        ({"samples": [], "labels": []}, "there are no samples"),
        ({"read": None}, "`read` or `root`"),
        ({"root": "."}, "`read` or `root`"),
        ({"read": failing}, r"read\('a'\): KeyError: 'a' \(.*test_own_catalog.py, line \d+\). Fix: "),
        ({"read": lambda sample: None}, r"read\('a'\) gives NoneType of shape \(\)"),
        ({"read": lambda sample: np.zeros((4, 5, 3))}, r"gives float64 of shape \(4, 5, 3\), not .* uint8"),
        ({"read": lambda sample: np.zeros((4, 5), np.uint8)}, r"uint8 of shape \(4, 5\), not .*\(H, W, 3\)"),
        ({"read": lambda sample: np.zeros((0, 5, 3), np.uint8)}, r"shape \(0, 5, 3\)"),
    ],
)
def test_wrong_lists(arguments, text):
    given = {"samples": "ab", "labels": ["x", "y"], "read": PIXELS.get, **arguments}
    with pytest.raises(DataError, match=text) as caught:
        make_catalog(**given)
    assert "\n" not in str(caught.value)


def test_one_class_is_a_problem():
    with pytest.raises(DataError, match=r"every label is x\. Telling classes apart takes two"):
        make_catalog("ab", ["x", "x"], read=PIXELS.get).usable()


class Failing:
    def load(self):
        raise RuntimeError("no network")


class Table:
    def load(self):
        return {"a": "x"}


def test_load_refuses_what_is_no_catalog():
    assert len(load(Digits())) == 1797
    with pytest.raises(
        DataError, match=r"Failing.load\(\): RuntimeError: no network \(.*, line \d+\). Fix: "
    ):
        load(Failing())
    with pytest.raises(DataError, match=r"Table.load\(\) gives dict, no whole Catalog. Fix: "):
        load(Table())
    with pytest.raises(
        UserError, match=r"data.source: builtins.list has no method load. Fix: .*CatalogSource"
    ):
        require([], "data.source", CatalogSource)
