"""What can be wrong with what a user gave, as opposed to with the program."""

from __future__ import annotations


class UserError(ValueError):
    """A mistake that the user can mend; the command line prints its text alone and exits with 2.

    The text says which file or config path, which rule, what was found and what to do.
    """
