"""Where in the YAML files something stands, and what the comment beside it says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from transferlab.config.places import near, shipped


def where(pattern: str, files: Sequence[Path]) -> str:
    """` (in FILE)` for the files in which a line matches, at most three; nothing where none does."""
    found = [near(file) for file in files if re.search(pattern, _text(file), re.MULTILINE)]
    return f" (in {' or '.join(found[:3])})" if found else ""


def where_key(key: str, files: Sequence[Path]) -> str:
    """The same for files that set a key of this name, in block or flow style."""
    return where(rf"^\s*(.*[.{{\s,])?{re.escape(key)}\s*:", files)


def options_of(group: str) -> list[str]:
    """The shipped options of a config group."""
    return sorted(file.stem for file in (shipped() / group.partition("@")[0]).glob("*.yaml"))


def slots(chosen: Mapping[str, str | None]) -> dict[str, str]:
    """The config group that fills a dotted key: `strategy.objective` → `strategy/objective`."""
    # a group that stands for itself comes last, so that data@ is not taken for data/loading@data
    return {
        group.rpartition("@")[2].replace("/", "."): group
        for group in sorted(chosen, key=lambda g: "@" not in g)
    }


def explained(key: str, group: str, option: str | None) -> str:
    """What the comment beside `key: ???` says in the file of a shipped option."""
    file = shipped() / group.partition("@")[0] / f"{option}.yaml"
    comment = re.compile(rf"^{re.escape(key)}:\s*\?\?\?\s*#\s*(.*?)\s*$", re.MULTILINE)
    found = comment.search(_text(file)) if file.is_file() else None
    return found[1] if found else ""


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")
