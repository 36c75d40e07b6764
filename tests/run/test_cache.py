"""The cache: whole files, one at a time, the least recently used goes."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from transferlab.run import cache
from transferlab.run.cache import (
    cache_folder,
    entry,
    evict,
    exclusive,
    mark_used,
    remove,
    whole_folder,
    write_whole,
)

HOLDER = """\
import sys
from pathlib import Path
from transferlab.run.cache import exclusive
with exclusive(Path("cache/entry"), waiting="waiting"):
    Path("cache/.entry.half.making").write_text("half")
    Path("cache/entry").mkdir(exist_ok=True)
    Path("cache/entry/.part.half.making").write_text("half")
    Path("cache/.other.half.making").write_text("of another")
    print("held", flush=True)
    sys.stdin.readline()
"""
ENTRY = Path("cache/entry")


def names(folder: str | Path) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def holder() -> subprocess.Popen[str]:
    started = subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert started.stdout.readline() == "held\n"
    return started


def test_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("TRANSFERLAB_CACHE", str(tmp_path / "own"))
    assert cache_folder("features") == tmp_path / "own" / "features"
    monkeypatch.delenv("TRANSFERLAB_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder("features") == tmp_path / "xdg" / "transferlab" / "features"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder("features") == tmp_path / ".cache" / "transferlab" / "features"
    assert not list(tmp_path.rglob("features"))  # whoever writes there makes it


def test_a_file_is_whole_or_old(monkeypatch):
    write_whole(ENTRY, b"old")

    def interrupted(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(ENTRY, b"new")
    assert ENTRY.read_bytes() == b"old"
    assert names("cache") == ["entry"]


def test_a_folder_is_whole_or_old():
    for content in ("old", "new"):
        with whole_folder(ENTRY) as making:
            (making / "file").write_text(content)
            assert not ENTRY.exists() or (ENTRY / "file").read_text() == "old"
    assert (ENTRY / "file").read_text() == "new"
    with pytest.raises(ZeroDivisionError), whole_folder(ENTRY) as making:
        (making / "file").write_text(str(1 / 0))
    assert (ENTRY / "file").read_text() == "new"
    assert names("cache") == ["entry"]


def test_removal():
    write_whole(ENTRY / "file", b"1")
    remove(ENTRY)
    write_whole(ENTRY, b"1")
    remove(ENTRY)
    remove(ENTRY)  # gone already
    assert names("cache") == []


def test_one_process_at_a_time_and_its_death_frees(monkeypatch, capsys):
    monkeypatch.setattr(cache, "WAIT_S", 0.0)
    entered = threading.Event()

    def enter():
        with exclusive(ENTRY, waiting="waiting for it"):
            entered.set()

    with holder() as other:
        thread = threading.Thread(target=enter)
        thread.start()
        assert not entered.wait(0.3)
        other.send_signal(signal.SIGKILL)
        assert entered.wait(10)
        thread.join()
    assert capsys.readouterr().err == "waiting for it\n"
    # what the killed process was making is gone, with the lock; what is of another entry is not
    assert names("cache") == [".other.half.making", "entry"]
    assert names(ENTRY) == []


def test_a_forked_child_does_not_hold_it():
    """Data loader workers outlive a killed run by seconds."""
    with exclusive(ENTRY, waiting=""):
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
    try:
        began = time.monotonic()
        with exclusive(ENTRY, waiting=""):
            assert time.monotonic() - began < 30
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_one_thread_at_a_time():
    inside, most = 0, 0

    def work():
        nonlocal inside, most
        for _ in range(5):
            with exclusive(ENTRY, waiting=""):
                inside += 1
                most = max(most, inside)
                time.sleep(0.001)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert names("cache") == []


def test_entries_do_not_wait_for_each_other():
    with exclusive(ENTRY, waiting=""), exclusive(Path("cache/another"), waiting=""):
        assert names("cache") == ["another.lock", "entry.lock"]


def test_a_file_system_without_locks(monkeypatch):
    def without(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", without)
    with exclusive(ENTRY, waiting=""):
        pass


def test_the_lock_is_freed_by_an_error():
    with pytest.raises(ZeroDivisionError), exclusive(ENTRY, waiting=""):
        raise ZeroDivisionError
    with exclusive(ENTRY, waiting=""):
        pass


def test_size_and_last_use():
    write_whole(ENTRY / "a", b"12")
    write_whole(ENTRY / "deep" / "b", b"345")
    os.utime(ENTRY / "a", (10, 20))
    os.utime(ENTRY / "deep" / "b", (30, 40))
    found = entry(ENTRY)
    assert (found.path, found.num_bytes, found.used_s) == (ENTRY, 5, 30)
    assert entry(Path("cache/gone")) is None
    before = time.time()
    mark_used(ENTRY)
    assert before - 1 < entry(ENTRY).used_s < time.time() + 1
    assert (ENTRY / "a").stat().st_mtime == 20
    mark_used(Path("cache/gone"))


def test_the_least_recently_used_go_first():
    paths = [Path(f"cache/{name}") for name in "abcd"]
    for path, used_s in zip(paths, (3, 1, 2, 4), strict=True):
        write_whole(path, b"x" * 10)
        os.utime(path, (used_s, 0))
    evict(paths, 40)
    assert len(names("cache")) == 4
    evict([*paths, Path("cache/gone")], 25, last=[paths[1]])
    assert names("cache") == ["b", "d"]  # b is the oldest, but is spared
    evict(paths, 9, last=[paths[1]])
    assert names("cache") == []
