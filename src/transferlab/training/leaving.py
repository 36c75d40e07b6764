"""Ending soon, with a checkpoint: what a cluster asks for before it takes the machine away.

Signals belong to a process, and so does this: a request is noted, and the training looks for it wherever its
state can be saved. Outside of a training, or if it takes too long to get there, the request ends what goes on
as Ctrl-C does.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import NoReturn

_patience_s: dict[int, float] = {}  # empty: nobody is listened to
_first: int | None = None  # the signal that came first


@contextlib.contextmanager
def asked_by(patience_s: Mapping[int, float]) -> Iterator[None]:
    """Within this, these signals ask the process to end; others mean what they meant before.

    Args:
        patience_s: by signal, the seconds within which a checkpoint must have been written. After them
            KeyboardInterrupt is raised, wherever the program is.
    """
    global _first
    before = {number: signal.getsignal(number) for number in (*patience_s, signal.SIGALRM)}
    _first = None
    _patience_s.update(patience_s)
    listen()
    try:
        yield
    finally:
        for number in patience_s:
            signal.signal(number, before[number])  # first, as a request may still come
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before[signal.SIGALRM])
        _patience_s.clear()
        _first = None  # a later training of this process was not asked


def listen() -> None:
    """Be the one who hears the signals of `asked_by`; again, where a library has put itself before it."""
    if _patience_s:
        signal.signal(signal.SIGALRM, signal.default_int_handler)
    for number in _patience_s:
        signal.signal(number, _note)


def asked() -> int | None:
    """The signal that has asked this process to end; None as long as none has."""
    return _first


def leave() -> NoReturn:
    """End here, where the state is saved.

    Raises:
        KeyboardInterrupt: always.
    """
    signal.setitimer(signal.ITIMER_REAL, 0)
    raise KeyboardInterrupt


def _note(number: int, frame: FrameType | None) -> None:
    global _first
    if _first is None:
        _first = number
        signal.setitimer(signal.ITIMER_REAL, _patience_s[number])
