"""Where results that any run may use again are kept."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """`$TRANSFERLAB_CACHE/kind`, else `kind` in the user's cache folder (`~/.cache/transferlab`); not
    created.
    """
    own = os.environ.get("TRANSFERLAB_CACHE")
    if own:
        return Path(own).expanduser() / kind
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "transferlab" / kind


def write_whole(path: Path, content: bytes) -> None:
    """The file appears at once or not at all, also when several processes write it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
