"""Files of a run folder or a sweep that are its own: no link leads out, no name in a record is a path."""

from __future__ import annotations

import os
from pathlib import Path

from transferlab.run.errors import UserError


def require_own_files(folder: Path, *, deep: bool = True) -> None:
    """Refuse links that lead out of a folder: what is read or written by them is not the folder's.

    A run folder may come from anybody. W&B's own folder, in which its client makes such links, is not looked
    into.

    Args:
        folder: of a run or a sweep; one that is not there has none.
        deep: also look into the folders within it.

    Raises:
        UserError: there is such a link.
    """
    top = folder.resolve()
    for parent, folders, files in os.walk(folder):
        for path in (Path(parent, name) for name in (*folders, *files)):
            if path.is_symlink() and not _end_of(path).is_relative_to(top):
                raise UserError(
                    f"{path}: this link leads out of {folder}. Fix: replace it by what it links to, or "
                    "delete it."
                )
        folders[:] = [name for name in folders if deep and name != "wandb"]


def _end_of(link: Path) -> Path:
    try:
        return link.resolve()
    except (OSError, RuntimeError):  # a link to itself
        return Path("/")


def is_plain_name(name: object) -> bool:
    """True for the name of a file or folder: a record never names another place by it."""
    return isinstance(name, str) and name not in ("", ".", "..") and name.isprintable() and "/" not in name
