"""A disk of a few MiB that only this process and its children see, to fill it up (Linux)."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000
_RECURSIVE_PRIVATE = 16384 | (1 << 18)


def mount_small_disk(folder: Path, *, num_bytes: int) -> None:
    """Mount a file system in memory at a folder; it is gone when this process and its children are.

    Raises:
        OSError: the system does not let us: neither root nor user namespaces.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    what = _NEW_MOUNTS if os.geteuid() == 0 else _NEW_MOUNTS | _NEW_USER
    _require(libc.unshare(what))
    _require(libc.mount(None, b"/", None, ctypes.c_ulong(_RECURSIVE_PRIVATE), None))
    options = f"size={num_bytes}".encode()
    _require(libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", ctypes.c_ulong(0), options))


def _require(code: int) -> None:
    if code != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
