"""Text from elsewhere (names of files, classes, runs) as it may be printed or written."""

from __future__ import annotations

import re

# C0 and C1 controls, line and paragraph separators, marks that reverse the order of writing, bytes that
# are no UTF-8 (which Python reads as lone surrogates)
_ACTS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: object, *, keep: str = "") -> str:
    r"""The text with everything escaped that would act on a terminal instead of being shown.

    Args:
        text: a name, or with `keep` a message.
        keep: characters that stay: a message of several lines has line breaks of its own.

    >>> printable("a\x1b[2Jb\nc"), printable("caf\udce9")
    ('a\\x1b[2Jb\\nc', 'caf\\xe9')
    """
    return _ACTS.sub(lambda found: found[0] if found[0] in keep else _escaped(found[0]), str(text))


def printable_lines(text: object) -> str:
    """A message: its line breaks and tabs stay."""
    return printable(text, keep="\n\t")


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # the byte that was read
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
