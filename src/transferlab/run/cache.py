"""A cache of files and folders that processes share: written at once, made by one, evicted by last use.

What is being made stands beside its place as `.<name>.<random>.making`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import sys
import tempfile
import time
import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO

WAIT_S = 5.0  # before a line says what is being waited for
GIB = 2**30
_MOST_PAUSE_S = 0.5
_owners: dict[tuple[int, Path], object] = {}


def cache_folder(kind: str) -> Path:
    """`$TRANSFERLAB_CACHE/kind`, else `kind` in the user's cache folder (`~/.cache/transferlab`).

    Where that cannot be written to (no home, a disk that is read only) a folder of this user's in the
    system's temporary one, with a note.
    """
    own = os.environ.get("TRANSFERLAB_CACHE")
    named = own or str(Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "transferlab")
    try:
        return _usable(Path(named).expanduser()) / kind
    except (OSError, RuntimeError) as error:  # RuntimeError: no home is known
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return _temporary(named, str(reason)) / kind


def _usable(folder: Path) -> Path:
    """The folder, made if need be; raises `OSError` where it cannot be written to."""
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
    return folder


@lru_cache
def _temporary(instead_of: str, reason: str) -> Path:
    """A folder that only this user may read; another user's of the same name is not taken."""
    folder = Path(tempfile.gettempdir(), f"transferlab-{os.getuid()}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        facts = folder.lstat()
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & 0o077:
            raise PermissionError
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="transferlab-"))
    sys.stderr.write(
        f"note: {instead_of} cannot be used ({reason}), so caches go into {folder}. "
        "Fix: TRANSFERLAB_CACHE=DIR names another folder.\n"
    )
    return folder


def write_whole(path: Path, content: bytes) -> None:
    """The file appears at once or not at all, also when several processes write it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder to fill, which becomes `path` when the block ends, and is deleted if the block raises."""
    temporary = _beside(path)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        remove(path)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove(path: Path) -> None:
    """Delete an entry at once: nobody sees a part of it, and who has it mapped keeps its pages.

    Raises:
        OSError: it may not be deleted. That it is gone already is fine.
    """
    aside = _beside(path)
    with suppress(FileNotFoundError):
        path.rename(aside)
        _destroy(aside)


def _destroy(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.making")


@contextmanager
def exclusive(path: Path, *, waiting: str) -> Iterator[None]:
    """One at a time works on the entry, of all processes and threads; freed however a process ends.

    What a killed process left half made for the entry is deleted first. On a file system without locks each
    makes its own, and the last one wins.

    Args:
        path: the entry; it need not exist.
        waiting: a line for stderr when another one takes long.

    Raises:
        OSError: the folder that `path` is in cannot be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f"{path.name}.lock")
    # a POSIX lock excludes other processes only; `setdefault` is atomic, and a fork has another id
    me, place = object(), (os.getpid(), lock.absolute())
    since, said, pause_s = time.monotonic(), False, 0.01
    while True:
        file = None
        if _owners.setdefault(place, me) is me:
            try:
                file = _try(lock)
            finally:
                if file is None:
                    del _owners[place]
        if file is not None:
            break
        if not said and time.monotonic() - since >= WAIT_S:
            sys.stderr.write(f"{waiting}\n")
            said = True
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _MOST_PAUSE_S)
    try:
        for leftover in (*path.parent.glob(f".{path.name}.*.making"), *path.glob(".*.making")):
            _destroy(leftover)
        yield
    finally:
        with suppress(OSError):
            lock.unlink()  # while it is held: who has opened it then finds no such file there, and retries
        file.close()
        del _owners[place]


def _try(lock: Path) -> IO[str] | None:
    """The lock's file, locked; None if another process has it.

    A POSIX lock, not `flock`: that one would live on in the data loader's workers, which are forked and
    outlast a killed process by seconds.
    """
    file = lock.open("w")
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(file.fileno()), lock.stat()):
            return file
    except FileNotFoundError:
        pass  # its last owner has deleted it in between
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            return file  # no locks here
    file.close()
    return None


@dataclass(frozen=True)
class Entry:
    """Size and last use of an entry."""

    path: Path  # a file or folder
    num_bytes: int  # of all its files
    used_s: float  # seconds since the epoch


def entry(path: Path) -> Entry | None:
    """Size and last use; None when it is not there (any more)."""
    try:
        files = [file.stat() for file in _files(path)]
    except FileNotFoundError:
        return None
    return Entry(
        path, sum(file.st_size for file in files), max((file.st_atime for file in files), default=0.0)
    )


def mark_used(path: Path) -> None:
    """Set the access times by hand, for many file systems do not; modification times stay."""
    now_ns = time.time_ns()
    for file in _files(path):
        with suppress(OSError):  # another user's file, a read-only disk
            os.utime(file, ns=(now_ns, file.stat().st_mtime_ns))


def evict(paths: Iterable[Path], most_bytes: float, *, last: Collection[Path] = ()) -> None:
    """Delete the least recently used entries until the others take `most_bytes` at most; `last` go last."""
    entries = [found for found in map(entry, paths) if found is not None]
    total = sum(found.num_bytes for found in entries)
    for found in sorted(entries, key=lambda found: (found.path in last, found.used_s)):
        if total <= most_bytes:
            return
        remove(found.path)
        total -= found.num_bytes


def _files(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
