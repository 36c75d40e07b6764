"""One run at a time in a process: torch's generators, Hydra's state and the working folder are the process's."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")
_turn = threading.RLock()


def one_at_a_time(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Let calls in several threads wait for each other, those of other functions with this decorator, too."""

    @functools.wraps(function)
    def in_turn(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with _turn:
            return function(*args, **kwargs)

    return in_turn
