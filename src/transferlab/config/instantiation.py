"""From a checked config node to an object, and a sentence where a user's own code is what is wrong."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from transferlab.config.config_files import near
from transferlab.run.errors import UserError


def make(config: DictConfig, **further: Any) -> Any:
    """Instantiate a config node; a user's mistake comes out as what it is, not wrapped by Hydra.

    Raises:
        UserError: a class of the user's own, or of a library, cannot be imported or made.
    """
    try:
        return instantiate(config, _convert_="all", **further)
    except InstantiationException as error:
        cause: BaseException = error
        while isinstance(cause, InstantiationException) and cause.__cause__ is not None:
            cause = cause.__cause__
        if isinstance(cause, UserError):
            raise cause from None
        where, target = (
            found[1] if (found := re.search(pattern, str(error))) else ""
            for pattern in (r"full_key: (\S+)", r"target '([^']*)'")
        )
        if target.startswith("transferlab."):
            raise
        while str(error).startswith("Error locating") and cause.__cause__ is not None:
            cause = cause.__cause__  # of what its module raised when it was imported
        raise UserError(
            f"{where or 'config'}: {target}: {described(cause, target)}. Fix: correct its code, or its "
            "arguments in the config."
        ) from error


def described(error: BaseException, target: str = "") -> str:
    """Type and text of an error on one line, and where in the code of a user's class it was raised.

    Args:
        error: any.
        target: the dotted path of the class; empty: leave out where.
    """
    text = " ".join(str(error).split()).rstrip(".")[:200]
    own = [
        f" ({near(Path(frame.f_code.co_filename))}, line {line})"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if target and frame.f_globals.get("__name__", "").partition(".")[0] == target.partition(".")[0]
    ]
    return f"{type(error).__name__}{f': {text}' if text else ''}{own[-1] if own else ''}"


def require(part: Any, path: str, kind: type) -> None:
    """Refuse an object from a config that lacks a method of a protocol, or does not extend a class.

    Raises:
        UserError: it is not of this `kind`; `path` is where it stands in the config.
    """
    what = f"{path}: {type(part).__module__}.{type(part).__qualname__}"
    wanted = f"{kind.__module__}.{kind.__name__}"
    if getattr(kind, "_is_protocol", False):
        methods = [name for name, value in vars(kind).items() if callable(value) and name[0] != "_"]
        for name in methods:
            if not callable(getattr(part, name, None)):
                raise UserError(f"{what} has no method {name}. Fix: add it; {wanted} describes it.")
    elif not isinstance(part, kind):
        raise UserError(f"{what} does not extend {wanted}. Fix: class {type(part).__name__}({kind.__name__})")
    elif "training" not in vars(part):  # which nn.Module sets
        raise UserError(f"{what} is not initialised. Fix: call super().__init__() in its __init__.")


def find_own_modules(allow: Sequence[str] | None) -> None:
    """Let modules that the user allowed be imported from the current folder."""
    here = str(Path.cwd())
    if allow and here not in sys.path:
        sys.path.insert(0, here)
