"""Settings of a sweep whose jobs are command lines of the user's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from transferlab.config.bounds import PositiveFloat, PositiveInt


@dataclass(kw_only=True)
class CommandSettings:
    """The `hydra.launcher` section of a config with `hydra/launcher=command`, whose YAML describes it."""

    template: str = ""
    wait: Literal["command", "record"] = "command"
    alive: str | None = None
    cancel: str | None = None
    jobs_at_once: PositiveInt | Literal["auto"] = "auto"
    timeout_min: PositiveFloat | None = None
    poll_s: PositiveFloat = 10.0
    cancel_on_interrupt: bool = False
