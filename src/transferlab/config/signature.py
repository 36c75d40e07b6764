"""What arguments a class takes, read from its source without importing it.

The signature of a class is the schema of its config node. Importing it would cost seconds of torch for a
typo, so its source file is found and parsed instead. Only plain annotations matter (`int`, `float`, `str`,
`bool`, `None`, `Literal`, `list`, `dict` and unions of them); any other one accepts everything.
"""

from __future__ import annotations

import ast
import importlib.machinery
import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

_NAMES: dict[str, Any] = {
    "int": int,
    "float": float,
    "str": str,
    "bool": bool,
    "list": list,
    "tuple": list,
    "dict": dict,
    "Mapping": dict,
    "Sequence": list,
    "Iterable": list,
    "Path": str,
    "_PATH": str,
    "Any": Any,
    "Literal": Literal,
    "Optional": lambda x: None,
    "Union": Union,
}


@dataclass(frozen=True)
class Argument:
    """One argument: its annotation as a type to check against, as people read it, and whether it must be given."""

    name: str
    annotation: Any
    text: str
    required: bool


@dataclass(frozen=True)
class Signature:
    """The arguments of a class or function by name; `open` when it takes any (`**kwargs`)."""

    target: str
    arguments: Mapping[str, Argument]
    open: bool = False


def signature(target: str) -> Signature | None:
    """The signature of the class or function with this dotted path, or None where no source is found."""
    return _signature(target, tuple(sys.path))


@cache
def _signature(target: str, path: tuple[str, ...]) -> Signature | None:
    module, _, name = target.rpartition(".")
    found = _definition(module, name, path)
    if found is None:
        return None
    node, module = found
    if isinstance(node, ast.ClassDef):
        return _of_class(target, node, module, path)
    return _of_function(target, node, is_method=False)


def _definition(
    module: str, name: str, path: tuple[str, ...]
) -> tuple[ast.ClassDef | ast.FunctionDef, str] | None:
    """The definition of `name`, followed through `from x import name`, and the module that it stands in."""
    file = _source_file(module, path)
    if file is None:
        return None
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
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


def _source_file(module: str, path: tuple[str, ...]) -> Path | None:
    """Where a module's source stands; finds it as the import system would, without running a package."""
    top, *rest = module.split(".")
    spec = importlib.machinery.PathFinder.find_spec(top, path)
    if spec is None:
        return None
    for name in rest:
        if spec.submodule_search_locations is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, list(spec.submodule_search_locations))
        if spec is None:
            return None
    return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None


def _of_class(target: str, node: ast.ClassDef, module: str, path: tuple[str, ...]) -> Signature | None:
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return _of_function(target, item, is_method=True)
    if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        fields = [item for item in node.body if isinstance(item, ast.AnnAssign)]
        return Signature(
            target,
            {
                field.target.id: _argument(field.target.id, field.annotation, field.value is None)
                for field in fields
                if isinstance(field.target, ast.Name)
            },
        )
    for base in node.bases:
        if isinstance(base, ast.Name) and (found := _definition(module, base.id, path)):
            if isinstance(found[0], ast.ClassDef):
                return _of_class(target, found[0], found[1], path)
    return Signature(target, {})


def _of_function(target: str, node: ast.FunctionDef, is_method: bool) -> Signature:
    positional = [*node.args.posonlyargs, *node.args.args][1 if is_method else 0 :]
    required = [True] * (len(positional) - len(node.args.defaults)) + [False] * len(node.args.defaults)
    required = required[-len(positional) :] if positional else []
    arguments = {
        item.arg: _argument(item.arg, item.annotation, needed)
        for item, needed in zip(positional, required, strict=True)
    }
    for item, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
        arguments[item.arg] = _argument(item.arg, item.annotation, default is None)
    return Signature(target, arguments, open=node.args.kwarg is not None)


def _argument(name: str, annotation: ast.expr | None, required: bool) -> Argument:
    if annotation is None:
        return Argument(name, Any, "anything", required)
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        annotation = ast.parse(annotation.value, mode="eval").body
    try:
        kind = _evaluate(annotation)
    except (LookupError, TypeError, SyntaxError):
        kind = Any
    return Argument(name, kind, ast.unparse(annotation).replace(" | ", " or "), required)


def _evaluate(node: ast.expr) -> Any:
    """The type that an annotation means; `LookupError` where it names anything but plain types."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return _NAMES[node.id]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return Union[_evaluate(node.left), _evaluate(node.right)]
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if node.value.id == "Optional":
            return Union[_evaluate(inner[0]), None]
        if node.value.id == "Union":
            return Union[tuple(_evaluate(item) for item in inner)]
        if node.value.id == "Literal":
            return Literal[tuple(ast.literal_eval(item) for item in inner)]
        outer = _NAMES[node.value.id]
        if outer is list:
            return list[_evaluate(inner[0])]  # type: ignore[misc]
        return outer
    raise LookupError(ast.unparse(node))


def matches(value: Any, annotation: Any) -> bool:
    """Whether a plain config value (number, text, list, mapping, None) fits a type; an int fits a float."""
    if annotation is Any:
        return True
    if annotation is None or annotation is types.NoneType:
        return value is None
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return any(matches(value, option) for option in get_args(annotation))
    if origin is Literal:
        return any(type(value) is type(choice) and value == choice for choice in get_args(annotation))
    if annotation is list or origin is list:
        is_list = isinstance(value, Sequence) and not isinstance(value, str)
        inner = get_args(annotation) or (Any,)
        return is_list and all(matches(item, inner[0]) for item in value)
    if annotation is dict:
        return isinstance(value, Mapping)
    if annotation is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if isinstance(annotation, type):
        return isinstance(value, annotation)
    return True


def choices(annotation: Any) -> list[str]:
    """The texts that a `Literal`, alone or within a union, allows."""
    if get_origin(annotation) is Literal:
        return [choice for choice in get_args(annotation) if isinstance(choice, str)]
    if get_origin(annotation) in (Union, types.UnionType):
        return [choice for option in get_args(annotation) for choice in choices(option)]
    return []
