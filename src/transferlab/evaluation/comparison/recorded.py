"""A run as a comparison sees it: its config, its chosen options, its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Recorded:
    """What a run's folder says.

    Attributes:
        path: of the folder.
        config: resolved; empty where the run has not begun.
        choices: the options of the config groups.
        result: what result.json says; empty where nothing is said yet.
    """

    path: Path
    config: Mapping[str, Any] = field(default_factory=dict)
    choices: Mapping[str, str | None] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """`finished`, or `running`, `failed`, `interrupted`; `missing` where nothing is said yet."""
        return str(self.result.get("status", "missing"))

    @property
    def reason(self) -> str:
        """Why it failed, in a line; empty where there is nothing to say."""
        return str(self.result.get("error", "")).partition("\n")[0]
