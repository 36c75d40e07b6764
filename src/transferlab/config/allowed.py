"""Which classes a config file may name.

A config file comes from anywhere, and `_target_` runs what it names. So only the classes that the shipped
configs name are allowed, each by its full path; a user adds modules of his own with `allow=[his_module]` on
the command line, or a package of his declares the entry point group `transferlab.allow`. A config file
cannot widen the list.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from transferlab.config.places import shipped

_TARGET = re.compile(r"""^[^#\n]*\b_target_:\s*["']?([\w.]+)""", re.MULTILINE)


@cache
def shipped_targets() -> frozenset[str]:
    """The classes that a shipped config names, plugins of Hydra left out."""
    root = shipped()
    files = [file for file in root.rglob("*.yaml") if file.relative_to(root).parts[0] != "hydra"]
    return frozenset(target for file in files for target in _TARGET.findall(file.read_text("utf-8")))


def is_allowed(target: str, allow: Sequence[str] = ()) -> bool:
    """Whether a config may name this class, given the modules (or single classes) that the user allowed."""
    if target in shipped_targets():
        return True
    from importlib.metadata import entry_points  # only a class that is not ours costs the look

    installed = [point.value for point in entry_points(group="transferlab.allow")]
    return any(target == own or target.startswith(own + ".") for own in [*allow, *installed])
