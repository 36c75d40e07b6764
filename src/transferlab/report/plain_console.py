"""A console for tables and lines that hold names from files, folders and records."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from transferlab.run.printable import printable_lines


class PlainConsole(Console):
    """Shows texts as they are: no markup, and nothing in them acts on the terminal.

    In a pipe it has `pipe_columns`.
    """

    def __init__(self, *, pipe_columns: int = 160, highlight: bool = True) -> None:
        width = None if sys.stdout.isatty() else pipe_columns
        super().__init__(width=width, markup=False, emoji=False, highlight=highlight)

    def render_str(self, text: str, **how: Any) -> Text:
        """Every text, also a table's cell, becomes visible here."""
        return super().render_str(printable_lines(text), **how)
