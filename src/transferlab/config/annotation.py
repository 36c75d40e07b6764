"""Annotations as plain types: what a config value may be, and how to say so.

Only what YAML can hold matters (`int`, `float`, `str`, `bool`, `None`, `Literal`, lists, mappings and unions
of them); any other annotation accepts everything.
"""

from __future__ import annotations

import ast
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

import yaml

_NAMES: dict[str, Any] = {
    "int": int,
    "float": float,
    "str": str,
    "bool": bool,
    "list": list,
    "tuple": list,
    "Sequence": list,
    "Iterable": list,
    "dict": dict,
    "Mapping": dict,
    "Path": str,
    "Any": Any,
}
_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    list: "a list",
    dict: "a mapping",
    type(None): "null",
}


def evaluate(node: ast.expr) -> Any:
    """The type that an annotation's syntax tree means; `Any` where it names anything but plain types."""
    try:
        return _evaluate(node)
    except (LookupError, TypeError, ValueError):
        return Any


def _evaluate(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant):
        return (
            _evaluate(ast.parse(node.value, mode="eval").body) if isinstance(node.value, str) else node.value
        )
    if isinstance(node, ast.Name):
        return _NAMES[node.id]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _union([_evaluate(node.left), _evaluate(node.right)])
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if node.value.id == "Optional":
            return _union([_evaluate(inner[0]), None])
        if node.value.id == "Union":
            return _union([_evaluate(item) for item in inner])
        if node.value.id == "Literal":
            return Literal[tuple(ast.literal_eval(item) for item in inner)]
        outer = _NAMES[node.value.id]
        return list[_evaluate(inner[0])] if outer is list else outer  # type: ignore[misc]
    raise LookupError(ast.unparse(node))


def _union(options: Sequence[Any]) -> Any:
    return Union[tuple(options)]  # noqa: UP007 (options of Literal and None do not take `|`)


def matches(value: Any, annotation: Any) -> bool:
    """Whether a plain value (number, text, list, mapping, None) fits a type; an int fits a float.

    >>> matches(1, float), matches(True, int), matches("a", Literal["a", "b"]), matches([1, "a"], list[int])
    (True, False, True, False)
    """
    if annotation is Any:
        return True
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
    return isinstance(value, annotation if annotation is not None else types.NoneType)


def choices(annotation: Any) -> list[str]:
    """The texts that a `Literal`, alone or within a union, allows."""
    if get_origin(annotation) is Literal:
        return [choice for choice in get_args(annotation) if isinstance(choice, str)]
    if get_origin(annotation) in (Union, types.UnionType):
        return [choice for option in get_args(annotation) for choice in choices(option)]
    return []


def in_words(annotation: Any) -> str:
    """What a type takes, as people say it.

    >>> in_words(int | Literal["auto"] | None), in_words(list[str]), in_words(Literal["a", "b"])
    ('a whole number, auto or null', 'a list of text', 'a or b')
    """
    options = _options(annotation)
    return " or ".join([", ".join(options[:-1]), options[-1]] if len(options) > 1 else options)


def _options(annotation: Any) -> list[str]:
    if annotation is Any:
        return ["anything"]
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return [word for option in get_args(annotation) for word in _options(option)]
    if origin is Literal:
        return [plain(choice) for choice in get_args(annotation)]
    if origin is list:
        (inner,) = get_args(annotation)
        many = in_words(inner).replace("a whole number", "whole numbers").replace("a number", "numbers")
        return ["a list" if inner is Any else f"a list of {many}"]
    return [_WORDS[annotation if annotation is not None else type(None)]]


def kind(value: Any) -> str:
    """What a value is, in the same words."""
    if isinstance(value, float):
        return "a decimal number"
    return next((word for known, word in _WORDS.items() if type(value) is known), type(value).__name__)


def plain(value: Any) -> str:
    """A value as YAML writes it, on one line."""
    if isinstance(value, list | dict):
        return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000).strip()
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
