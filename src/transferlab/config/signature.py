"""What arguments a class takes, read from its source without importing it.

The signature of a class is the schema of its config node. Importing it would cost seconds of torch for a
typo, so its source file is found and parsed instead.
"""

from __future__ import annotations

import ast
import copy
import importlib.machinery
import sys
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from transferlab.config.annotation import evaluate

_WITHOUT_ARGUMENTS = frozenset(
    {"object", "ABC", "Protocol", "Module", "Generic"}
)  # bases not worth following

_TYPING = frozenset(dir(typing))
_WITHOUT_CHOICES = "pytorch_lightning."  # names of its Trainer's annotations are classes: nothing to look up


@dataclass(frozen=True)
class Argument:
    """One argument: its annotation as a plain type, its own text of it, and whether it must be given."""

    name: str
    annotation: Any
    text: str
    required: bool


@dataclass(frozen=True)
class Signature:
    """The arguments of a class or function by name; `open` when it may take others too (`**kwargs`)."""

    target: str
    arguments: Mapping[str, Argument]
    open: bool = False


def signature(target: str, folders: Sequence[str] = ()) -> Signature | None:
    """The signature of the class or function with this dotted path, or None where no source is found.

    Args:
        target: `package.module.Name`.
        folders: where to look for modules before `sys.path`.
    """
    return _signature(target, (*folders, *sys.path))


@cache
def _signature(target: str, path: tuple[str, ...]) -> Signature | None:
    module, _, name = target.rpartition(".")
    found = _definition(module, name, path) if module else None
    if found is None:
        return None
    node, module = found
    if isinstance(node, ast.ClassDef):
        return _of_class(target, node, module, path)
    if isinstance(node, ast.FunctionDef):
        return _of_function(target, node, module, path, is_method=False)
    return None


@cache
def _definition(
    module: str, name: str, path: tuple[str, ...]
) -> tuple[ast.ClassDef | ast.FunctionDef | ast.Assign, str] | None:
    """The definition of `name`, followed through `from x import name`, and the module that it stands in."""
    file = _source_file(module, path)
    if file is None:
        return None
    for node in _parsed(file).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return node, module
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [name]:
            return node, module
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    origin = node.module
                    if node.level:
                        parents = module.split(".")
                        drop = node.level - (file.name == "__init__.py")
                        origin = ".".join([*parents[: len(parents) - drop], node.module])
                    return _definition(origin, alias.name, path)
    return None


@cache
def _parsed(file: Path) -> ast.Module:
    """The file's syntax tree; an empty one where it can not be read as Python."""
    try:
        return ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return ast.Module(body=[], type_ignores=[])


def _source_file(module: str, path: tuple[str, ...]) -> Path | None:
    """Where a module's source stands; finds it as the import system would, without running a package."""
    top, *rest = module.split(".")
    spec = importlib.machinery.PathFinder.find_spec(top, path)
    for name in rest:
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, list(spec.submodule_search_locations))
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _of_class(target: str, node: ast.ClassDef, module: str, path: tuple[str, ...]) -> Signature:
    """The arguments of `__init__`, of a dataclass's fields, or of what the bases take."""
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return _of_function(target, item, module, path, is_method=True)
    is_dataclass = any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)
    arguments: dict[str, Argument] = {}
    is_open = False
    for base in node.bases:
        inherited = _of_base(target, base, module, path)
        arguments |= inherited.arguments
        is_open |= inherited.open
        if inherited.arguments and not is_dataclass:
            break
    if is_dataclass:
        arguments |= _fields(node, module, path)
    return Signature(target, arguments, open=is_open)


def _of_base(target: str, base: ast.expr, module: str, path: tuple[str, ...]) -> Signature:
    name = ast.unparse(base).partition("[")[0]
    if name.rpartition(".")[2] in _WITHOUT_ARGUMENTS:
        return Signature(target, {})
    found = _definition(module, name, path) if "." not in name else None
    if found and isinstance(found[0], ast.ClassDef):
        return _of_class(target, found[0], found[1], path)
    return Signature(target, {}, open=True)


def _fields(node: ast.ClassDef, module: str, path: tuple[str, ...]) -> dict[str, Argument]:
    """The fields of a dataclass that its constructor takes."""
    found = {}
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            default = "" if item.value is None else ast.unparse(item.value)
            if "ClassVar" not in ast.unparse(item.annotation) and "init=False" not in default:
                no_default = not default or (default.startswith("field(") and "default" not in default)
                annotation = _expanded(item.annotation, module, path)
                found[item.target.id] = _argument(item.target.id, annotation, no_default)
    return found


def _of_function(
    target: str, node: ast.FunctionDef, module: str, path: tuple[str, ...], *, is_method: bool
) -> Signature:
    positional = [*node.args.posonlyargs, *node.args.args]
    num_required = len(positional) - len(node.args.defaults)
    arguments = {
        item.arg: _argument(item.arg, _expanded(item.annotation, module, path), position < num_required)
        for position, item in enumerate(positional)
        if not (is_method and position == 0)
    }
    for item, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
        annotation = _expanded(item.annotation, module, path)
        arguments[item.arg] = _argument(item.arg, annotation, default is None)
    return Signature(target, arguments, open=node.args.kwarg is not None)


def _argument(name: str, annotation: ast.expr | None, required: bool) -> Argument:
    if annotation is None:
        return Argument(name, Any, "Any", required)
    return Argument(name, evaluate(annotation), ast.unparse(annotation), required)


def _expanded(annotation: ast.expr | None, module: str, path: tuple[str, ...]) -> ast.expr | None:
    """The annotation with each alias (`BatchNorm = Literal[...]`) replaced by what it means."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        annotation = ast.parse(annotation.value, mode="eval").body
    return None if annotation is None else _Aliases(module, path).visit(copy.deepcopy(annotation))


class _Aliases(ast.NodeTransformer):
    """Replaces names that are assigned at the top of a module; those of other packages stay as they are."""

    def __init__(self, module: str, path: tuple[str, ...]) -> None:
        self.module, self.path = module, path

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if evaluate(node) is not Any or node.id in _TYPING or self.module.startswith(_WITHOUT_CHOICES):
            return node
        found = _definition(self.module, node.id, self.path)
        if found is None or not isinstance(found[0], ast.Assign):
            return node
        return _Aliases(found[1], self.path).visit(copy.deepcopy(found[0].value))
