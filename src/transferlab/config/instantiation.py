"""From a checked config node to an object."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from transferlab.run.errors import UserError


def make(config: DictConfig, **further: Any) -> Any:
    """Instantiate a config node; a user's mistake comes out as what it is, not wrapped by Hydra."""
    try:
        return instantiate(config, _convert_="all", **further)
    except InstantiationException as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, UserError):
            deepest, cause = cause, cause.__cause__
        if cause is not None:
            raise cause from None
        target = str(config.get("_target_", ""))
        if not target.startswith("transferlab."):  # a library's class, or one of the user's own
            raise UserError(f"{target}: {type(deepest).__name__}: {deepest}") from error
        raise


def find_own_modules(allow: Sequence[str] | None) -> None:
    """Let modules that the user allowed be imported from the current folder."""
    here = str(Path.cwd())
    if allow and here not in sys.path:
        sys.path.insert(0, here)
