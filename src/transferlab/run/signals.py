"""Signals that end a run: noted when they arrive, obeyed where the state can be saved.

A cluster sends them before it takes the machine away. The training looks for a noted signal after each step;
outside of a training, or after the patience given, a signal ends the program as Ctrl-C does.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import NoReturn

_patience_s: dict[int, float] = {}  # by signal; empty: none is noted
_first: int | None = None  # the signal that came first


@contextlib.contextmanager
def noted(patience_s: Mapping[int, float]) -> Iterator[None]:
    """Within this, these signals are noted instead of ending the process; others keep their handlers.

    Args:
        patience_s: by signal, the seconds within which a checkpoint must have been written. After them
            KeyboardInterrupt is raised, wherever the program is.
    """
    global _first
    before = {number: signal.getsignal(number) for number in (*patience_s, signal.SIGALRM)}
    _first = None
    _patience_s.update(patience_s)
    install()
    try:
        yield
    finally:
        for number in patience_s:
            signal.signal(number, before[number])  # first, as a signal may still come
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before[signal.SIGALRM])
        _patience_s.clear()
        _first = None  # no signal concerns a later training of this process


def install() -> None:
    """(Re)install the handlers of `noted`; Lightning replaces them when a fit starts."""
    if _patience_s:
        signal.signal(signal.SIGALRM, signal.default_int_handler)
    for number in _patience_s:
        signal.signal(number, _note)


def received() -> int | None:
    """The first signal that has been noted; None without any."""
    return _first


def stop() -> NoReturn:
    """End the program here, where the state is saved.

    Raises:
        KeyboardInterrupt: always.
    """
    signal.setitimer(signal.ITIMER_REAL, 0)
    raise KeyboardInterrupt


@contextlib.contextmanager
def collected() -> Iterator[list[int]]:
    """Within this, SIGINT, SIGTERM and a closed terminal's SIGHUP are appended to the list that it gives.

    Nothing is cut short by them, least of all the start of a child process, which would be left behind.
    """
    found: list[int] = []
    before = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            before[number] = signal.signal(number, lambda number, frame: found.append(number))
    try:
        yield found
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def interrupt_restored() -> Iterator[None]:
    """Restore the handler of Ctrl-C afterwards: Lightning ignores it from the first one on."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread() and before is not None:
            signal.signal(signal.SIGINT, before)


def _note(number: int, frame: FrameType | None) -> None:
    global _first
    if _first is None:
        _first = number
        signal.setitimer(signal.ITIMER_REAL, _patience_s[number])
