from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from transferlab.data.catalog.folder import Folder
from transferlab.data.data_error import DataError
from transferlab.data.image import file_facts as facts_module
from transferlab.data.image.decoding import Examined, examine
from transferlab.data.image.file_facts import Reading, examined_files, file_facts, hash_files, reading
from transferlab.data.image.reader import content_hash
from transferlab.data.inspection import inspect_data

LONG_AGO_S = 1_600_000_000  # what was changed just now is not trusted
PIXELS = 100_000_000


@pytest.fixture
def photos(image_folder) -> Path:
    root = image_folder({"a": 4, "b": 4})
    (root / "a" / "bad.jpg").write_bytes(b"<html>")
    (root / "b" / "odd ä.png").write_bytes((root / "b" / "005.png").read_bytes())
    age(root)
    return root


def age(root: Path) -> None:
    for path in root.rglob("*"):
        os.utime(path, (LONG_AGO_S, LONG_AGO_S))


def names(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


@pytest.fixture
def read_files(monkeypatch) -> list[str]:
    """The names of the files that were read, as they are."""
    read: list[str] = []
    real = facts_module._file

    def counted(path, *args):
        read.append(Path(path).name)
        return real(path, *args)

    monkeypatch.setattr(facts_module, "_file", counted)
    return read


def looked_up(root: Path, *, examines: bool = True, now: Reading | None = None):
    samples = names(root)
    found = file_facts(root, samples, max_pixels=PIXELS, examines=examines, now=now)
    return dict(zip(samples, zip(found.contents, found.examined or samples, strict=True), strict=True))


def fresh(root: Path) -> dict[str, tuple[str, Examined]]:
    """The same by reading alone."""
    contents = {sample: (root / sample).read_bytes() for sample in names(root)}
    return {
        sample: (content_hash(content), examine(content, max_pixels=PIXELS))
        for sample, content in contents.items()
    }


def test_the_index_gives_what_reading_gives_and_reads_nothing(photos, read_files):
    expected = fresh(photos)
    assert expected["a/bad.jpg"][1].reason is not None
    assert expected["a/001.png"][1] == Examined(12, 10, "RGB", "PNG")
    assert looked_up(photos) == expected
    assert sorted(read_files) == sorted(Path(name).name for name in names(photos))
    read_files.clear()
    assert looked_up(photos) == expected
    assert read_files == []


def test_names_of_any_bytes_are_kept(image_folder, read_files):
    root = image_folder({"a": 1})
    (root / "a" / "001.png").rename(root / "a" / "\udcff\n.png")
    age(root)
    assert looked_up(root) == looked_up(root) == fresh(root)
    assert len(read_files) == 1


def test_one_read_gives_hash_and_facts(photos, read_files, make_batches):
    data = make_batches(source=Folder(str(photos)), on_bad_image="skip", on_leak="drop")
    assert any("a/bad.jpg" in note for note in data.splits.notes)
    assert sorted(read_files) == sorted(Path(name).name for name in names(photos))
    again = make_batches(source=Folder(str(photos)), on_bad_image="skip", on_leak="drop")
    assert len(read_files) == len(names(photos))
    assert again.splits.fingerprint() == data.splits.fingerprint()
    assert again.splits.notes == data.splits.notes


def test_a_hash_without_facts_is_completed(photos, read_files):
    looked_up(photos, examines=False)
    looked_up(photos, examines=False)
    assert len(read_files) == len(names(photos))
    assert looked_up(photos) == fresh(photos)
    assert len(read_files) == 2 * len(names(photos))


def other_size(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")
    os.utime(path, (LONG_AGO_S, LONG_AGO_S))


def other_time(path: Path) -> None:
    os.utime(path, (LONG_AGO_S, LONG_AGO_S + 1))


def other_inode(path: Path) -> None:
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes()[:-1] + b"!")
    os.utime(copy, (LONG_AGO_S, LONG_AGO_S))
    copy.replace(path)


@pytest.mark.parametrize("change", [other_size, other_time, other_inode])
def test_a_replaced_file_is_read_again(photos, read_files, change):
    looked_up(photos)
    read_files.clear()
    change(photos / "a" / "002.png")
    assert looked_up(photos) == fresh(photos)
    assert read_files == ["002.png"]


def silently_changed(root: Path) -> None:
    path = root / "a" / "001.png"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)  # in place: the inode stays
    os.utime(path, (LONG_AGO_S, LONG_AGO_S))


def test_verify_contents_finds_what_size_and_time_hide(photos):
    before = looked_up(photos)
    silently_changed(photos)
    assert looked_up(photos) == before != fresh(photos)  # the limit that the documentation names
    now = Reading(verify="contents")
    assert looked_up(photos, now=now) == fresh(photos)
    (note,) = now.notes
    assert "1 file has other contents than before" in note
    assert "a/001.png" in note
    assert looked_up(photos) == fresh(photos)


def test_verify_is_an_option_of_the_data(photos, make_batches):
    options = {"source": Folder(str(photos)), "on_bad_image": "skip", "on_leak": "drop"}
    before = make_batches(**options).splits
    silently_changed(photos)
    after = make_batches(**options, verify="contents").splits
    assert any("a/001.png" in note for note in after.notes if note.startswith("data.verify=contents"))
    assert after.fingerprint() != before.fingerprint()


def test_inspection_verifies_too(photos, make_batches):
    settings = make_batches(source=Folder(str(photos)), on_bad_image="skip", on_leak="drop").settings
    inspect_data(settings)
    silently_changed(photos)
    (report,) = inspect_data(type(settings)(**{**vars(settings), "verify": "contents"})).domains
    assert any(warning.startswith("data.verify=contents: 1 file has") for warning in report.warnings)


def test_what_has_just_changed_is_not_trusted(image_folder, read_files):
    root = image_folder({"a": 2, "b": 2})
    os.utime(root / "a" / "001.png", (LONG_AGO_S, LONG_AGO_S))
    os.utime(root / "b" / "003.png", (2**32, 2**32))  # a clock that was wrong for good
    looked_up(root)
    read_files.clear()
    looked_up(root)
    assert sorted(read_files) == ["002.png", "004.png"]


def test_a_file_that_changes_while_it_is_read_is_not_trusted(photos, read_files, monkeypatch):
    stamps = iter([(1, 2, 3), (1, 3, 3)])
    with monkeypatch.context() as patch:
        patch.setattr(facts_module, "stamp_of", lambda status: next(stamps))
        stamp, *_ = facts_module._file(str(photos / "a" / "001.png"), PIXELS, True)
    assert stamp == (-1, 2, 3)


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "another format", "folder"])
def test_a_damaged_index_is_made_anew(photos, own_cache, damage, read_files):
    looked_up(photos)
    (index,) = (own_cache / "files").glob("*.index")
    content = index.read_bytes()
    if damage == "folder":
        index.unlink()
        index.mkdir()
    else:
        index.write_bytes(
            {
                "empty": b"",
                "cut": content[: len(content) // 2],
                "flipped": content[:400] + bytes([content[400] ^ 1]) + content[401:],
                "another format": b"transferlab files 0\n" + content[20:],
            }[damage]
        )
    read_files.clear()
    now = Reading()
    assert looked_up(photos, now=now) == fresh(photos)
    assert len(read_files) == len(names(photos))
    if damage != "folder":  # which nobody but a user makes
        assert [note.split(": ")[0] for note in now.notes] == [f"{index} is damaged"]
        now = Reading()
        assert looked_up(photos, now=now) == fresh(photos)
        assert len(read_files) == len(names(photos))
        assert now.notes == []


def test_facts_by_another_decoder_are_found_anew(photos, monkeypatch, read_files):
    looked_up(photos)
    monkeypatch.setattr(facts_module, "DECODER", "decoder of the future")
    assert looked_up(photos) == fresh(photos)
    assert len(read_files) == 2 * len(names(photos))


def test_another_limit_of_pixels_examines_anew(photos):
    assert looked_up(photos)["a/001.png"][1].reason is None
    small = file_facts(photos, ["a/001.png"], max_pixels=100, examines=True)
    assert small.examined is not None
    assert "max_pixels=100" in str(small.examined[0].reason)


def test_a_subset_leaves_the_others_known(photos, read_files):
    looked_up(photos)
    other_time(photos / "a" / "001.png")
    file_facts(photos, ["a/001.png"], max_pixels=PIXELS, examines=True)
    read_files.clear()
    assert looked_up(photos) == fresh(photos)
    assert read_files == []


def test_rows_that_nobody_asks_for_are_bounded(photos, own_cache, monkeypatch):
    monkeypatch.setattr("transferlab.data.image.file_index.MOST_OTHERS", 3)
    looked_up(photos)
    (index,) = (own_cache / "files").glob("*.index")
    before = index.stat().st_size
    other_time(photos / "a" / "001.png")
    file_facts(photos, ["a/001.png"], max_pixels=PIXELS, examines=True)
    assert index.stat().st_size < before


def test_all_indexes_together_are_bounded(photos, own_cache, monkeypatch, image_folder):
    looked_up(photos)
    monkeypatch.setattr("transferlab.data.image.file_index.MOST_BYTES", 1)
    other = image_folder({"a": 2, "b": 2}, root="others")
    age(other)
    looked_up(other)
    assert len(list((own_cache / "files").glob("*.index"))) == 0


@pytest.mark.parametrize("fault", ["a file in the way", "full disk"])
def test_without_a_place_to_write_it_reads_each_time(photos, fault, monkeypatch, tmp_path, capfd):
    if fault == "full disk":

        def full(path, content):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("transferlab.data.image.file_index.write_whole", full)
    else:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("TRANSFERLAB_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr("transferlab.data.image.file_index.WORTH_A_LINE", 1)
    monkeypatch.setattr(facts_module, "MANY", 1)
    assert looked_up(photos) == fresh(photos)
    assert (
        "cannot be used" if fault == "a file in the way" else "cannot be written"
    ) in capfd.readouterr().err


def test_without_a_place_to_write_one_start_still_reads_once(photos, monkeypatch, tmp_path, read_files):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRANSFERLAB_CACHE", str(tmp_path / "file"))
    with reading(examines=True, verify="index"):
        hash_files(photos, names(photos), max_pixels=PIXELS)
        found = examined_files(photos, names(photos), max_pixels=PIXELS)
    assert len(read_files) == len(names(photos))
    assert found == [facts for _, facts in fresh(photos).values()]


def test_a_missing_file_is_an_error(photos):
    with pytest.raises(DataError, match=r"a/gone\.png cannot be read: No such file or directory\."):
        file_facts(photos, ["a/001.png", "a/gone.png"], max_pixels=PIXELS, examines=True)


def test_a_pipe_is_refused_instead_of_waited_for(photos):
    os.mkfifo(photos / "a" / "pipe.png")
    with pytest.raises(DataError, match=r"a/pipe\.png is not a regular file"):
        file_facts(photos, ["a/pipe.png"], max_pixels=PIXELS, examines=True)


def _look(root: Path) -> bool:
    return looked_up(root) == fresh(root)


def test_processes_share_the_index(photos, monkeypatch):
    monkeypatch.setattr(facts_module, "MANY", 1)  # they wait for each other
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert pool.map(_look, [photos] * 6) == [True] * 6
    assert looked_up(photos) == fresh(photos)


def _killed_while_storing(root: Path) -> None:
    def half(path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(f".{path.name}.x.making").write_bytes(content[: len(content) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    facts_module.MANY = 1
    facts_module.store_index.__globals__["write_whole"] = half
    looked_up(root)


def test_killed_while_writing_leaves_the_last_index(photos, own_cache, read_files):
    looked_up(photos)
    other_time(photos / "a" / "001.png")
    process = multiprocessing.get_context("fork").Process(target=_killed_while_storing, args=(photos,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(list((own_cache / "files").glob(".*.making"))) == 1
    read_files.clear()
    assert looked_up(photos) == fresh(photos)
    assert read_files == ["001.png"]
    facts = file_facts(photos, names(photos), max_pixels=PIXELS, examines=True)
    assert np.array(facts.contents).shape == (len(names(photos)),)
