"""Signals that end a run: noted when they arrive, obeyed where the state can be saved.

A cluster sends them before it takes the machine away, a user with Ctrl-C, a terminal when it closes. A training
looks for a noted signal after each step. Elsewhere in a run there is nothing to save, and it ends at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import NoReturn

SAVING_PATIENCE_S = 25.0  # for the step and its checkpoint; most systems kill 30 s after their SIGTERM
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_REPEATED_S = 1.0  # a second signal so soon is the first one, passed on by a wrapper of the command

_patience_s: dict[int, float] = {}  # by signal; empty: none is noted
_first: int | None = None  # the signal that came first
_first_at = 0.0
_owner = 0  # the process that notes them
_waits = False  # whether a signal is obeyed later: a checkpoint follows, or the end of a record
_always_waits = False


class Stopped(KeyboardInterrupt):
    """A signal has ended the program; `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextlib.contextmanager
def noted(patience_s: Mapping[int, float]) -> Iterator[None]:
    """Within this, these signals are noted instead of ending the process; others keep their handlers.

    Args:
        patience_s: by signal, the seconds within which a checkpoint must have been written. After them
            `Stopped` is raised, wherever the program is.
    """
    with _handling(patience_s, always_waits=True):
        yield


@contextlib.contextmanager
def ending() -> Iterator[None]:
    """Within this, every signal that ends a run raises `Stopped`: in a training, after the next checkpoint.

    So do a second one, and patience that is over. Nothing changes where signals are noted already, outside
    the main thread, and for signals that are ignored (as SIGHUP under nohup).
    """
    if _patience_s or threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = [number for number in _ENDING if signal.getsignal(number) != signal.SIG_IGN]
    with _handling(dict.fromkeys(heard, SAVING_PATIENCE_S), always_waits=False):
        yield


@contextlib.contextmanager
def _handling(patience_s: Mapping[int, float], *, always_waits: bool) -> Iterator[None]:
    global _first, _owner, _waits, _always_waits
    before = {number: signal.getsignal(number) for number in (*patience_s, signal.SIGALRM)}
    _first, _owner, _waits, _always_waits = None, os.getpid(), False, always_waits
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
        signal.signal(signal.SIGALRM, _out_of_patience)
    for number in _patience_s:
        signal.signal(number, _note)


def received() -> int | None:
    """The first signal that has been noted; None without any."""
    return _first


def stop() -> NoReturn:
    """End the program here, where the state is saved.

    Raises:
        Stopped: always.
    """
    signal.setitimer(signal.ITIMER_REAL, 0)
    raise Stopped(_first or signal.SIGINT)


@contextlib.contextmanager
def waiting() -> Iterator[None]:
    """Within this, signals are noted: `received` is looked at soon, or a record is being written."""
    global _waits
    before, _waits = _waits, True
    try:
        yield
    finally:
        _waits = before


def wait(waits: bool) -> None:
    """Switch between noting signals and ending at once, for callbacks of a training."""
    global _waits
    _waits = waits


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
    global _first, _first_at
    if os.getpid() != _owner:
        _end_child(number)
        return
    if _first is None:
        _first, _first_at = number, time.monotonic()
        if _waits or _always_waits:
            signal.setitimer(signal.ITIMER_REAL, _patience_s[number])
            return
    elif _always_waits or time.monotonic() - _first_at < _REPEATED_S:
        return
    stop()


def _out_of_patience(number: int, frame: FrameType | None) -> None:
    stop()


def _end_child(number: int) -> None:
    """A process that reads images for this one: signals of its whole group are this one's to obey."""
    if number == signal.SIGTERM:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
