"""Errors in a user's data."""

from __future__ import annotations

from collections.abc import Iterable

from transferlab.run.errors import UserError
from transferlab.run.printable import printable


class DataError(UserError):
    """The data cannot be used as given; the text names the files, the rule and what to do."""

    def __init__(self, text: str) -> None:
        # a DataLoader raises a worker's error anew, with the worker's traceback as its text
        super().__init__(text.rsplit(f"{type(self).__module__}.DataError: ", 1)[-1].strip())


def some(names: Iterable[object], most: int = 5) -> str:
    """The first few names for a sentence: `a, b, c and 7 more`.

    >>> some(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    listed = [printable(name) for name in names]
    shown = ", ".join(listed[:most])
    return shown if len(listed) <= most else f"{shown} and {len(listed) - most} more"
