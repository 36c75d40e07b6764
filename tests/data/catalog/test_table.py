from __future__ import annotations

import codecs
from pathlib import Path

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
        ("path,label\na/001.png,x,\n", {}, "its rows have more cells than its first line"),
        ("path,label\nA/001.PNG,x\n", {}, "There is a/001.png: upper and lower case matter"),
        ("path,label\nC:\\\\data\\\\001.png,x\n", {}, "whole paths of a Windows machine"),
        ("path,label\na,x\n", {}, "a is there, but it is a folder"),
        ("path,label\n../../etc/passwd,x\n", {}, "1 images are outside of"),
        ("path,label\n..\\..\\etc\\passwd,x\n", {}, "1 images are outside of"),
        ("path,label\na/001.png,x\na/../a/001.png,y\n", {}, "names a/../a/001.png more than once"),
        ("path,label\na/001.png,x\n", {"separator": ";;"}, "must be one character, or one of tab"),
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


@pytest.mark.parametrize(("separator", "name"), [(";", "';'"), ("\t", "a tab"), ("|", "'|'")])
def test_the_separator_is_found_in_the_first_line(table, separator, name):
    text = "path,label\na/001.png,x\nb/005.png,y\n".replace(",", separator)
    catalog = Table(table(text)).load()
    assert catalog.classes == ("x", "y")
    assert f"read with {name} as separator" in catalog.notes[0]
    assert Table(table(text), separator=separator).load().notes == ()


@pytest.mark.parametrize("separator", ["tab", "\\t", "\t"])
def test_names_of_separators(table, separator):
    text = "path\tlabel\na/001.png\tx,1\nb/005.png\ty\n"
    assert Table(table(text), separator=separator).load().classes == ("x,1", "y")


def test_blanks_around_cells_and_names_of_columns_do_not_count(table):
    text = " path , label ,part\na/001.png ,dog ,train\n a/002.png,dog,train\nb/005.png,\tcat , val\n"
    catalog = Table(table(text), split_column="part").load()
    assert catalog.classes == ("cat", "dog")
    assert catalog.samples == ["a/001.png", "a/002.png", "b/005.png"]
    assert catalog.table["split"].tolist() == ["train", "train", "val"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_encodings(table, encoding):
    file = Path(table(""))
    text = "path,label\na/001.png,Käse\nb/005.png,Brot\n"
    mark = codecs.BOM_UTF16_LE if encoding == "utf-16-le" else b""
    file.write_bytes(mark + text.encode(encoding))
    if encoding == "cp1252":
        with pytest.raises(DataError, match=r"is not UTF-8 text\. Fix: save it"):
            Table(str(file)).load()
    else:
        assert Table(str(file)).load().classes == ("Brot", "Käse")


def test_paths_of_windows(table):
    text = "path,label\na\\001.png,x\nb\\005.png,y\n"
    assert Table(table(text)).load().samples == ["a/001.png", "b/005.png"]
    text = "path,label\nC:\\data\\001.png,x\nC:\\data\\005.png,y\n"
    assert Table(table(text), search=True).load().samples == ["a/001.png", "b/005.png"]


def test_paths_in_another_form_of_unicode(table, image_folder):
    root = image_folder({"a": 4, "b": 4})
    (root / "a" / "001.png").rename(root / "a" / "cafe\u0301.png")
    text = "path,label\na/caf\u00e9.png,x\nb/005.png,y\n"
    for search in (False, True):
        catalog = Table(table(text), search=search).load()
        assert catalog.reader(catalog.samples[0]).shape == (10, 12, 3)


def test_class_names_in_two_forms_of_unicode_are_one_class(table):
    catalog = Table(table("path,label\na/001.png,caf\u00e9\na/002.png,cafe\u0301\nb/005.png,x\n")).load()
    assert catalog.classes == ("caf\u00e9", "x")
    assert "class caf\u00e9 is written in 2 ways" in catalog.notes[0]


ONE_HOT = "path,MEL,NV,age\na/001.png,1.0,0.0,40\na/002.png,0.0,1.0,50\nb/005.png,0,0,60\n"


def test_one_hot_columns(table):
    catalog = Table(table(ONE_HOT), label_columns=["MEL", "NV"]).load()
    assert catalog.classes == ("MEL", "NV")
    assert catalog.codes.tolist() == [0, 1, -1]


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        (ONE_HOT, {}, "Columns MEL, NV hold 0 and 1, in some rows several or no 1"),
        (
            ONE_HOT.replace("0,0,60", "0,1,60"),
            {},
            "one 1 in each row (one-hot). Fix: 'data.source.l",
        ),
        (ONE_HOT, {"label_columns": ["MEL", "BCC"]}, "has no column BCC (data.source.label_columns)"),
        (ONE_HOT, {"label_columns": ["MEL", "age"]}, "column age (data.source.label_columns) does not hold"),
        (ONE_HOT.replace("0,0,60", "1,1,60"), {"label_columns": ["MEL", "NV"]}, "line 4 has a 1 in several"),
        (ONE_HOT, {"path_column": "image"}, "has no column image"),
    ],
)
def test_one_hot_refusals(table, text, options, says):
    with pytest.raises(DataError) as error:
        Table(table(text), **options).load()
    assert says in str(error.value)
    assert "Did you mean path" not in str(error.value)


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
