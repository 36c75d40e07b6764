from __future__ import annotations

import pytest

from transferlab.run.errors import UserError
from transferlab.run.printable import printable, printable_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Gänseblümchen 雛菊 🌼 'a b'.jpg", "Gänseblümchen 雛菊 🌼 'a b'.jpg"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("two\nlines\ttab\r", "two\\nlines\\ttab\\r"),
        ("\x9b2J", "\\x9b2J"),
        ("gpj.\u202eexe", "gpj.\\u202eexe"),
        ("caf\udce9", "caf\\xe9"),
        ("\u2028", "\\u2028"),
    ],
)
def test_names_do_not_act(text, shown):
    assert printable(text) == shown
    shown.encode("utf-8")


def test_messages_keep_their_lines():
    assert printable_lines("a\n\tb\x1b") == "a\n\tb\\x1b"
    assert str(UserError("photos/\x1b[2J:\n  fix")) == "photos/\\x1b[2J:\n  fix"
