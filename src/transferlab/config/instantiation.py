"""From a checked config node to an object, and a sentence where a user's own code is what is wrong."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from transferlab.config.config_files import near
from transferlab.config.resolvers import interpolations
from transferlab.run.errors import UserError


def make(config: Any, *, path: str | None = None, recursive: bool = True, **further: Any) -> Any:
    """The object that a checked config node describes: `_target_` and its arguments.

    The node is plain data from here on: no interpolation is resolved, whatever its texts hold.

    Args:
        config: the node.
        path: where it stands in the config, for messages; None: where OmegaConf says that it does.
        recursive: also make the nodes within it.
        further: arguments that the program itself passes, as they are.

    Raises:
        UserError: a class of the user's own, or of a library, cannot be imported or made, or a text
            holds `${`.
    """
    if OmegaConf.is_config(config):
        path = (str(config._get_full_key(None)) or "config") if path is None else path
        config = OmegaConf.to_container(config)
    for place, text in interpolations(config, path or "config"):
        raise UserError(f"{place}={text}: nothing is made of ${{...}}. Fix: write the value itself.")
    return _made(config, path or "config", further, recursive=recursive)


def _made(node: Any, path: str, further: Mapping[str, Any], *, recursive: bool) -> Any:
    if isinstance(node, list):
        return [_made(item, f"{path}.{place}", {}, recursive=recursive) for place, item in enumerate(node)]
    if not isinstance(node, dict):
        return node
    recursive = recursive and node.get("_recursive_", True) is True
    arguments = {
        str(key): _made(value, f"{path}.{key}", {}, recursive=True) if recursive else value
        for key, value in node.items()
        if "_target_" not in node or key not in ("_target_", "_convert_", "_recursive_")
    }
    return _call(str(node["_target_"]), path, {**arguments, **further}) if "_target_" in node else arguments


def located(target: str) -> Any:
    """The class or function of a dotted path, whose module is imported."""
    module, _, name = target.rpartition(".")
    return getattr(import_module(module), name)


def _call(target: str, path: str, arguments: Mapping[str, Any]) -> Any:
    """Call a class or function; a mistake of the user's is a sentence."""
    try:
        made_by = located(target)
        inspect.signature(made_by).bind(**arguments)
    except Exception as error:  # whatever its module raises when it is imported
        raise _unusable(path, target, error) from error
    try:
        return made_by(**arguments)
    except UserError:
        raise
    except Exception as error:
        if target.startswith("transferlab."):
            raise
        raise _unusable(path, target, error) from error


def _unusable(path: str, target: str, error: BaseException) -> UserError:
    return UserError(
        f"{path}: {target}: {described(error, target)}. Fix: correct its code, or its arguments in the "
        "config."
    )


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
        sys.path.append(here)  # at the end: nothing there replaces a module that is installed
