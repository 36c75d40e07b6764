from __future__ import annotations

import pytest

from transferlab.data.catalog.table import Table
from transferlab.data.data_error import DataError


@pytest.fixture
def table(image_folder):
    """`table(text)` writes a table beside eight images, four in a/ and four in b/."""
    root = image_folder({"a": 4, "b": 4})

    def write(text: str, name: str = "table.csv") -> str:
        (root / name).write_text(text, encoding="utf-8")
        return str(root / name)

    return write


def rows(*lines: str) -> str:
    return "\n".join(["path,label,part,patient", *lines]) + "\n"


FULL = rows("a/001.png,10,Train,p", "a/002.png,9,valid,", "b/005.png,9,test,q", "b/006.png,10,train,p")


def test_columns(table):
    catalog = Table(table(FULL), split_column="part", group_column="patient").load()
    assert catalog.classes == ("9", "10")
    assert catalog.samples == ["a/001.png", "a/002.png", "b/005.png", "b/006.png"]
    assert catalog.table["label"].tolist() == [1, 0, 0, 1]
    assert catalog.table["split"].tolist() == ["train", "val", "test", "train"]
    assert catalog.table["group"].tolist() == ["p", None, "q", "p"]
    assert catalog.reader("a/001.png").shape == (10, 12, 3)


def test_a_class_called_na_is_a_class(table):
    catalog = Table(table("path,label\na/001.png,NA\na/002.png,null\nb/005.png,\n")).load()
    assert catalog.classes == ("NA", "null")
    assert catalog.table["label"].isna().tolist() == [False, False, True]


def test_names_and_separator(table):
    text = "﻿id;klasse\n001;x\n005;y\n"
    catalog = Table(
        table(text),
        path_column="id",
        label_column="klasse",
        path_suffix=".png",
        search=True,
        separator=";",
    ).load()
    assert catalog.samples == ["a/001.png", "b/005.png"]


def test_paths_from_another_root(table, image_folder, tmp_path):
    file = tmp_path / "elsewhere.csv"
    file.write_text("path,label\n001.png,x\n002.png,y\n")
    catalog = Table(str(file), root=str(tmp_path / "photos" / "a")).load()
    assert catalog.reader("002.png").shape == (10, 12, 3)


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        (
            "image,label\na/001.png,x\n",
            {},
            "has no column path (data.source.path_column). It has image, label.",
        ),
        ("path,labels\na/001.png,x\n", {}, "Did you mean labels?"),
        (FULL, {"group_column": "patients"}, "Did you mean patient?"),
        ("path,label\na/001.png,x\na/002.png,x\n", {}, "one class only (x)"),
        ("path,label\na/001.png,x\nc/9.png,y\n", {}, "1 of 2 images that are not below"),
        ("path,label\n001.png,x\n9.png,y\n", {"search": True}, "1 of 2 images are nowhere below"),
        ("path,label\na/001.png,x\na/001.png,y\n", {}, "names a/001.png more than once"),
        ("path,label\na/001.png,x\n,y\n", {}, "line 3 names no image"),
        (FULL.replace("valid", "hold-out"), {"split_column": "part"}, "hold-out is no split"),
        ("path,label\n", {}, "has no rows"),
        ("", {}, "cannot be read as a table"),
        ('path,label\n"a,b\n', {}, "cannot be read as a table"),
    ],
)
def test_refusals(table, text, options, says):
    file = table(text)
    with pytest.raises(DataError) as error:
        Table(file, **options).load().usable()
    assert says in str(error.value)


def test_same_name_different_file(table, tmp_path):
    (tmp_path / "photos" / "b" / "001.png").write_bytes(b"another")
    with pytest.raises(DataError, match=r"001\.png is the name of different files"):
        Table(table("path,label\n001.png,x\n005.png,y\n"), search=True).load()


def test_missing_table():
    with pytest.raises(DataError, match=r"data\.source\.table=/no/such\.csv is not a file"):
        Table("/no/such.csv").load()
    with pytest.raises(DataError, match="has no value"):
        Table(None).load()


def test_parquet(table, tmp_path):
    parquet = tmp_path / "photos" / "t.parquet"
    try:
        import pandas as pd

        pd.DataFrame({"path": ["a/001.png", "b/005.png"], "label": [3, 20]}).to_parquet(parquet)
    except ImportError:
        parquet.write_bytes(b"PAR1")
        with pytest.raises(DataError, match="Parquet needs pyarrow"):
            Table(str(parquet)).load()
    else:
        assert Table(str(parquet)).load().classes == ("3", "20")


def test_skin_lesions_stay_whole(image_folder, make_batches):
    """HAM10000's layout: two folders of images, identifiers without endings, several photos of a lesion."""
    root = image_folder({"HAM10000_images_part_1": 30, "HAM10000_images_part_2": 30})
    lines = ["lesion_id,image_id,dx,dx_type,age,sex,localization"]
    for number in range(1, 61):
        lesion, dx = f"HAM_{number // 2:07d}", ("nv", "mel", "bkl")[number // 2 % 3]
        lines.append(f"{lesion},{number:03d},{dx},histo,80.0,male,scalp")
    (root / "HAM10000_metadata.csv").write_text("\n".join(lines))
    data = make_batches(
        source=Table(
            str(root / "HAM10000_metadata.csv"),
            root=str(root),
            path_column="image_id",
            path_suffix=".png",
            search=True,
            label_column="dx",
            group_column="lesion_id",
        )
    )
    table = data.splits.table()
    assert len(table) == 60
    assert (table.groupby("group")["split"].nunique() == 1).all()
    assert data.splits.classes == ("bkl", "mel", "nv")
    assert (data.splits.class_counts > 0).all()
