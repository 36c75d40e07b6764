"""Broken files are moved within their root, onto nothing."""

from __future__ import annotations

import pytest
from tests.data.conftest import write_image

from transferlab.data.catalog.folder import Folder
from transferlab.data.catalog.table import Table
from transferlab.data.data_error import DataError
from transferlab.data.image.quarantine import move_away, moved_away


@pytest.fixture
def table(tmp_path):
    """`table(paths)` writes a table in `data` of twelve images there, and of these paths of broken ones."""

    def write(*paths: str, **options) -> Table:
        lines = ["path,label"]
        for number in range(12):
            write_image(tmp_path / "data" / f"{number:02d}.png", number)
            lines.append(f"{number:02d}.png,{'ab'[number % 2]}")
        for path in paths:
            (tmp_path / "data" / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "data" / path).write_bytes(b"broken")
            lines.append(f"{path},a")
        (tmp_path / "data" / "t.csv").write_text("\n".join(lines) + "\n")
        return Table(str(tmp_path / "data" / "t.csv"), **options)

    return write


def test_an_absolute_path_within_the_root_is_moved(table, tmp_path, make_batches):
    bad = tmp_path / "data" / "in" / "bad.png"
    source = table(str(bad))
    data = make_batches(source=source, on_bad_image="quarantine")
    assert not bad.exists()
    assert (tmp_path / "data" / ".quarantine" / "in" / "bad.png").read_bytes() == b"broken"
    assert any(note.startswith("Moved 1 image to ") for note in data.splits.notes)
    again = make_batches(source=source, on_bad_image="quarantine").splits  # the table still names it
    assert any("1 of its 13 images are left out: they were moved to" in note for note in again.notes)
    assert again.fingerprint() == data.splits.fingerprint()


def test_a_file_outside_of_the_root_stays(table, tmp_path, make_batches):
    bad = tmp_path / "elsewhere" / "bad.png"
    data = make_batches(source=table(str(bad), "in.png"), on_bad_image="quarantine")
    assert bad.read_bytes() == b"broken"
    assert not (tmp_path / "data" / "in.png").exists()
    notes = " ".join(data.splits.notes)
    assert (
        f"Left out 1 image, not moved: files outside of {tmp_path}/data stay where they are: {bad}" in notes
    )
    assert f"Moved 1 image to {tmp_path}/data/.quarantine: {tmp_path}/data/in.png: not an image." in notes


def test_a_file_behind_a_link_out_of_the_root_stays(table, tmp_path, make_batches):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "elsewhere")
    make_batches(source=table("link/bad.png"), on_bad_image="quarantine")
    assert (tmp_path / "elsewhere" / "bad.png").read_bytes() == b"broken"


def test_paths_that_leave_the_root_are_refused(table, tmp_path):
    for path in ("../bad.png", "in/../../bad.png"):
        with pytest.raises(DataError, match=r"1 images are outside of .*bad\.png\. Fix: write whole paths"):
            table(path).load()
    assert (tmp_path / "bad.png").read_bytes() == b"broken"


def test_nothing_in_the_quarantine_is_overwritten(image_folder, make_batches):
    root = image_folder({"a": 6, "b": 6})
    for content in (b"one", b"two", b"three"):
        (root / "a" / "bad.png").write_bytes(content)
        make_batches(source=Folder(str(root)), on_bad_image="quarantine")
    place = root / ".quarantine" / "a"
    assert {file.name: file.read_bytes() for file in place.iterdir()} == {
        "bad.png": b"one",
        "bad.png.1": b"two",
        "bad.png.2": b"three",
    }


def test_nothing_is_moved_through_a_link_or_where_all_are_broken(image_folder, make_batches, tmp_path):
    root = image_folder({"a": 3, "b": 3})
    (root / "a" / "bad.png").write_bytes(b"?")
    (tmp_path / "elsewhere").mkdir()
    (root / ".quarantine").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="is a link out of"):
        make_batches(source=Folder(str(root)), on_bad_image="quarantine")
    (root / ".quarantine").unlink()
    for file in root.glob("*/*.png"):
        file.write_bytes(b"?")
    with pytest.raises(DataError, match="No image can be used"):
        make_batches(source=Folder(str(root)), on_bad_image="quarantine")
    assert list(tmp_path.glob("elsewhere/*")) == []
    assert len(list(root.glob("*/*.png"))) == 7


def test_another_process_was_quicker(tmp_path):
    place = move_away(tmp_path, {"gone.png": "broken"}, {"gone.png": "gone.png"})
    assert [file.name for file in place.iterdir()] == ["reasons.csv"]
    assert moved_away(tmp_path) == {"gone.png": "broken"}
