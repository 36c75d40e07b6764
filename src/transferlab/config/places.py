"""Where configs are found: those that come with the package, then the user's own."""

from __future__ import annotations

from pathlib import Path

import transferlab

_PACKAGE = Path(transferlab.__file__).parent


def shipped() -> Path:
    """The configs that come with transferlab: inside the wheel, or at the top of a checkout."""
    inside = _PACKAGE / "conf"
    return inside if inside.is_dir() else _PACKAGE.parents[1] / "conf"


def users() -> Path | None:
    """`./conf` of the folder that the command runs in, where there is one other than the shipped one."""
    own = Path.cwd() / "conf"
    return own if own.is_dir() and own.resolve() != shipped().resolve() else None
