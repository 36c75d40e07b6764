"""Settings of loggers that their services refuse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_NOT_IN_PROJECTS = "/\\#?%:"
_LONGEST_PROJECT = 128
_LONGEST_TAG = 64


def logger_contradictions(config: dict[str, Any]) -> Iterator[str]:
    """Names that W&B refuses, offline too: of the project and of tags."""
    for name, logger in (config["logger"] or {}).items():
        if not str(logger.get("_target_")).endswith(".wandb"):
            continue
        project = str(logger.get("project") or "")
        found = "".join(sign for sign in _NOT_IN_PROJECTS if sign in project)
        if found or len(project) > _LONGEST_PROJECT:
            yield (
                f"logger.{name}.project={project}: must have at most {_LONGEST_PROJECT} characters and none "
                f"of {' '.join(_NOT_IN_PROJECTS)}. Fix: logger.{name}.project=NAME"
            )
        for tag in logger.get("tags") or []:
            if not 1 <= len(tag) <= _LONGEST_TAG:
                yield f"logger.{name}.tags: {tag!r} must have 1 to {_LONGEST_TAG} characters."
