from __future__ import annotations

import pytest

from transferlab.data.catalog.folder import Folder
from transferlab.data.data_error import DataError
from transferlab.data.image import image_check as checking


@pytest.fixture
def broken(image_folder):
    root = image_folder({"a": 6, "b": 6})
    (root / "a" / "bad.jpg").write_bytes(b"<html>")
    (root / "b" / "worse.png").write_bytes((root / "b" / "007.png").read_bytes()[:100])
    return root


def test_error_names_every_file_and_reason(broken, make_batches):
    with pytest.raises(DataError) as error:
        make_batches(source=Folder(str(broken)))
    assert "2 images cannot be used" in str(error.value)
    assert "a/bad.jpg: not an image (it begins with b'<html>')" in str(error.value)
    assert "b/worse.png: broken" in str(error.value)
    assert "data.on_bad_image=skip" in str(error.value)


def test_skip_leaves_them_out_and_names_them(broken, make_batches):
    data = make_batches(source=Folder(str(broken)), on_bad_image="skip")
    assert sum(data.splits.counts().values()) == 12
    assert not {"a/bad.jpg", "b/worse.png"} & set(data.splits.table()["sample"])
    assert any("a/bad.jpg" in note and "b/worse.png" in note for note in data.splits.notes)
    assert (broken / "a" / "bad.jpg").is_file()


def test_the_split_of_the_others_is_as_if_they_had_not_been_there(broken, make_batches):
    with_bad = make_batches(source=Folder(str(broken)), on_bad_image="skip").splits.table()
    (broken / "a" / "bad.jpg").unlink()
    (broken / "b" / "worse.png").unlink()
    assert make_batches(source=Folder(str(broken))).splits.table().equals(with_bad)


def test_quarantine_moves_them_with_reasons(broken, make_batches):
    data = make_batches(source=Folder(str(broken)), on_bad_image="quarantine")
    assert sum(data.splits.counts().values()) == 12
    assert (broken / ".quarantine" / "a" / "bad.jpg").read_bytes() == b"<html>"
    assert not (broken / "a" / "bad.jpg").exists()
    assert "a/bad.jpg,not an image" in (broken / ".quarantine" / "reasons.csv").read_text()
    (broken / "a" / "new.jpg").write_bytes(b"?")
    make_batches(source=Folder(str(broken)), on_bad_image="quarantine")
    reasons = (broken / ".quarantine" / "reasons.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in reasons] == ["sample", "a/bad.jpg", "b/worse.png", "a/new.jpg"]
    make_batches(source=Folder(str(broken)))  # nothing left to complain about


@pytest.mark.parametrize("num_workers", [0, 1])
def test_without_the_check_the_reader_names_the_file(broken, make_batches, num_workers):
    data = make_batches(source=Folder(str(broken)), check_images=False, num_workers=num_workers)
    loaders = [data.evaluation(part) for part in data.splits.counts()]
    with pytest.raises(DataError, match=r"^/\S*a/bad\.jpg: not an image.*data\.on_bad_image=skip\.$"):
        [list(loader) for loader in loaders]


def test_what_was_found_is_remembered_by_contents(broken, make_batches, monkeypatch, own_cache):
    make_batches(source=Folder(str(broken)), on_bad_image="skip")

    def not_again(content, max_pixels):
        raise AssertionError("decoded again")

    monkeypatch.setattr(checking, "examine", not_again)
    data = make_batches(source=Folder(str(broken)), on_bad_image="skip")
    assert any("a/bad.jpg" in note for note in data.splits.notes)
    (broken / "a" / "001.png").write_bytes(b"changed")
    with pytest.raises(AssertionError, match="decoded again"):
        make_batches(source=Folder(str(broken)), on_bad_image="skip")


def test_a_spoilt_memory_is_not_believed(broken, make_batches, own_cache):
    make_batches(source=Folder(str(broken)), on_bad_image="skip")
    for content in (b"", b"[1, 2]", b'{"by": "decoder 2", "files": {"x": {}}}', b'{"by": "another"}'):
        (memory,) = (own_cache / "checked").iterdir()
        memory.write_bytes(content)
        data = make_batches(source=Folder(str(broken)), on_bad_image="skip")
        assert sum(data.splits.counts().values()) == 12


def test_a_cache_that_cannot_be_written_is_no_error(image_folder, make_batches, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRANSFERLAB_CACHE", str(tmp_path / "file"))
    assert make_batches(source=Folder(str(image_folder({"a": 3, "b": 3})))).splits.counts()["train"] == 2


def test_animations_are_said(image_folder, make_batches):
    from PIL import Image

    root = image_folder({"a": 3, "b": 3})
    Image.new("L", (9, 9)).save(
        root / "a" / "moving.gif", save_all=True, append_images=[Image.new("L", (9, 9), 9)]
    )
    data = make_batches(source=Folder(str(root)))
    assert any("a/moving.gif: only the first of 2 frames is used" in note for note in data.splits.notes)
