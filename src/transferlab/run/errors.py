"""Mistakes of a user, as opposed to faults of the program."""

from __future__ import annotations

from transferlab.run.printable import printable_lines


class UserError(ValueError):
    """A mistake that the user can correct; the command line prints its text alone and exits with 2.

    The text says which file or config path, which rule, what was found and what to do.
    """

    def __init__(self, text: str) -> None:
        super().__init__(printable_lines(text))
