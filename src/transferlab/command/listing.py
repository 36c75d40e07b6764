"""`transferlab list`: what there is to choose from, a line each."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from transferlab.config import config_files
from transferlab.run.errors import UserError

GROUPS = {"backbones": "backbone", "strategies": "strategy", "data": "data", "experiments": "experiment"}


def run(arguments: Sequence[str]) -> int:
    """Print the options of a group with the first comment of each file."""
    if len(arguments) != 1 or arguments[0] not in GROUPS:
        given = " ".join(arguments) or "nothing"
        raise UserError(f"transferlab list takes one of {', '.join(GROUPS)}, not {given}.")
    options = list_options(GROUPS[arguments[0]])
    width = max((len(name) for name, _ in options), default=0)
    for name, about in options:
        sys.stdout.write(f"{name:<{width}}  {about}\n")
    return 0


def list_options(group: str) -> list[tuple[str, str]]:
    """Name and description of each option of a group: the shipped ones, then the user's own."""
    folders = [config_files.shipped() / group]
    own = config_files.users()
    if own is not None:
        folders.append(own / group)
    found: dict[str, str] = {}
    for folder in folders:
        for file in sorted(folder.glob("*.yaml")):
            found.setdefault(file.stem, _description(file))
    return list(found.items())


def _description(file: Path) -> str:
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and not line.startswith("# @package"):
            return line.lstrip("# ").strip()
    return ""
