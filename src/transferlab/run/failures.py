"""Failures of the machine, not of the program: a full disk, a dead process, too little memory."""

from __future__ import annotations

import errno
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from transferlab.run.errors import UserError

_FULL = (errno.ENOSPC, errno.EDQUOT)
# refusals of the system, wherever they come up, and what to do; other errors may be faults of the program
_REFUSED = {
    errno.EACCES: "choose a place that you may use, or ask its owner for the permission",
    errno.EPERM: "choose a place that you may use, or ask its owner for the permission",
    errno.EROFS: "work in a folder that can be written to: hydra.run.dir=DIR, --out DIR, or cd",
    errno.EIO: "check the disk",
    errno.ESTALE: "mount the network disk again",
    errno.EMFILE: "raise the limit of open files: ulimit -n 4096",
    errno.ENFILE: "close other programs, as this machine has no open files left",
    errno.EISDIR: "move that folder away",
    errno.ENOTDIR: "choose another place, as a part of this path is a file",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "remove the link that points to itself",
}
_FEWER_WORKERS = "Fix: data.num_workers=0, or a smaller data.batch_size, which takes less memory."


def explained(error: BaseException, folder: Path | None = None) -> UserError | None:
    """An error of the machine as a sentence with its `Fix:`; None for all others.

    Args:
        error: any, or one with such a cause.
        folder: of the run in which it happened.
    """
    if isinstance(error, UserError):
        return None
    again = "start it again" if folder is None else f"transferlab resume {shlex.quote(str(folder))}"
    for cause in _chain(error):
        text = str(cause)
        if getattr(cause, "errno", None) in _FULL or "No space left on device" in text:
            place = getattr(cause, "filename2", None) or getattr(cause, "filename", None) or folder
            where = f"{place}: " if place else ""
            return UserError(f"{where}no space is left on this disk. Fix: free some, then {again}")
        if isinstance(cause, OSError) and cause.errno in _REFUSED:
            where = f"{cause.filename}: " if cause.filename else ""
            return UserError(f"{where}{cause.strerror}. Fix: {_REFUSED[cause.errno]}, then {again}")
        if text.startswith("DataLoader worker (pid"):
            return UserError(f"A data worker died ({_how(text)}; out of memory?). {_FEWER_WORKERS}")
        if text.startswith("DataLoader timed out"):
            return UserError(
                f"The data workers gave no batch for {_number(text)} s: a disk that does not answer, too "
                f"little room in /dev/shm, or a stopped process. {_FEWER_WORKERS}"
            )
        if isinstance(cause, MemoryError) or type(cause).__name__ == "OutOfMemoryError" or _is_memory(text):
            first = text.splitlines()[0] if text else "no memory is left"
            return UserError(f"Out of memory: {first[:200]} Fix: a smaller data.batch_size, then {again}")
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and its causes."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


def _how(text: str) -> str:
    """The end of a data worker in words, from torch's message."""
    if by_signal := re.search(r"killed by signal: ([^.]*)\.", text):
        return f"killed by signal: {by_signal[1].strip()}"
    if code := re.search(r"exit(?:ed)? (?:unexpectedly )?with exit code (-?\d+)", text):
        return f"exit code {code[1]}"
    return "exited unexpectedly"


def _number(text: str) -> str:
    found = re.search(r"\d+", text)
    return found[0] if found else "a long time of"


def _is_memory(text: str) -> bool:
    return "can't allocate memory" in text or "Cannot allocate memory" in text
