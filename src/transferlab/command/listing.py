"""`transferlab list`: what there is to choose from, a line each."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from transferlab.config import config_files
from transferlab.config.other_words import meant_by_word
from transferlab.config.overrides import did_you_mean
from transferlab.run.errors import UserError

GROUPS = {"backbones": "backbone", "strategies": "strategy", "data": "data", "experiments": "experiment"}


def run(arguments: Sequence[str]) -> int:
    """Print the options of a group with the first comment of each file."""
    if len(arguments) != 1:
        given = " ".join(arguments) or "nothing"
        raise UserError(f"transferlab list takes one of {', '.join(GROUPS)}, not {given}. {_further()}")
    options = list_options(_group(arguments[0]))
    width = max((len(name) for name, _ in options), default=0)
    for name, about in options:
        sys.stdout.write(f"{name:<{width}}  {about}\n")
    return 0


def _group(word: str) -> str:
    """The config group that a word names: `strategies`, `strategy/head`, `head`; raises `UserError`."""
    groups, asked = _groups(), word.strip("/").partition("@")[0].replace(".", "/").partition("=")[0]
    asked = GROUPS.get(asked, meant_by_word(asked) or asked).replace(".", "/")
    ends = [group for group in groups if group.endswith(f"/{asked}")]
    if asked in groups:
        return asked
    if len(ends) == 1:
        return ends[0]
    last = {group.rpartition("/")[2]: group for group in groups}
    close = did_you_mean(word, [*GROUPS, *groups]) or did_you_mean(word.rpartition("/")[2], list(last))
    if ends:
        close = f" Did you mean {' or '.join(ends)}?"
    raise UserError(f"transferlab list takes one of {', '.join(GROUPS)}, not {word}.{close} {_further()}")


def _groups() -> list[str]:
    own = config_files.users()
    folders = [config_files.shipped(), *([own] if own is not None else [])]
    return [*config_files.options(folders), "hydra/launcher", "hydra/sweeper"]


def _further() -> str:
    return f"Or any config group: {', '.join(_groups())}."


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
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("#") and not line.startswith("# @package"):
            return line.lstrip("# ").strip()
    return ""
