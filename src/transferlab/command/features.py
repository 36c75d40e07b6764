"""`transferlab features`: what the feature store holds, and how to empty it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from transferlab.feature.layout import Listed, clear, listed
from transferlab.run.cache import cache_folder
from transferlab.run.errors import UserError

HELP = """\
transferlab features list              what is stored: network, boundary, image size, precision, rows, size
transferlab features clear             delete all of it; it is computed again when it is needed
transferlab features clear KEY [KEY]   delete these; the first letters of a key will do

Features are stored in $TRANSFERLAB_CACHE/features, or features in ~/.cache/transferlab.
"""
ABOUT = ("network", "boundary", "image_size", "precision")
HEADINGS = ("key", "network", "boundary", "image", "precision", "rows", "MiB", "last used")
MIB = 2**20


def run(arguments: Sequence[str]) -> int:
    """List the stored features or delete some."""
    store = cache_folder("features")
    match [*arguments]:
        case ["list"]:
            _list(store)
        case ["clear", *prefixes]:
            _clear(store, prefixes)
        case _:
            given = " ".join(arguments) or "nothing"
            raise UserError(f"transferlab features takes list, or clear with keys or without, not {given}.")
    return 0


def _list(store: Path) -> None:
    found = listed(store)
    if not found:
        sys.stdout.write(f"no features in {store}\n")
        return
    rows = [HEADINGS, *map(_row, found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.rjust(width) if heading in ("rows", "MiB") else cell.ljust(width)
            for cell, width, heading in zip(row, widths, HEADINGS, strict=True)
        ]
        sys.stdout.write("  ".join(cells).rstrip() + "\n")
    total = sum(space.num_bytes for space in found)
    sys.stdout.write(f"{total / MIB:.1f} MiB in {store}\n")


def _row(space: Listed) -> tuple[str, ...]:
    about = (str(space.about.get(name, "-")) for name in ABOUT)
    used = datetime.fromtimestamp(space.used_s).strftime("%Y-%m-%d %H:%M")
    return (space.key[:8], *about, str(space.num_rows), f"{space.num_bytes / MIB:.1f}", used)


def _clear(store: Path, prefixes: list[str]) -> None:
    keys = [_key(store, prefix) for prefix in prefixes] if prefixes else None
    try:
        num_bytes = clear(store, keys)
    except OSError as error:
        raise UserError(f"{store} cannot be cleared: {error.strerror or error}.") from error
    sys.stdout.write(f"deleted {num_bytes / MIB:.1f} MiB from {store}\n")


def _key(store: Path, prefix: str) -> str:
    """The one key that begins so."""
    keys = [space.key for space in listed(store) if prefix and space.key.startswith(prefix)]
    if len(keys) == 1:
        return keys[0]
    found = f"several begin so: {', '.join(keys)}" if keys else "no stored features have this key"
    raise UserError(f"{prefix}: {found}. transferlab features list shows the keys.")
