"""Annotations as plain types: what a config value may be, and how to say so.

Only what YAML can hold matters (`int`, `float`, `str`, `bool`, `None`, `Literal`, lists, mappings and unions
of them, each perhaps within bounds: `Annotated[float, AtLeast(0)]`); any other annotation accepts everything.
"""

from __future__ import annotations

import ast
import types
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml

from transferlab.config.bounds import KINDS, Bound, rule

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
Lookup = Callable[[str], Any]
_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    list: "a list",
    dict: "a mapping",
    type(None): "null",
}


def evaluate(node: ast.expr, lookup: Lookup) -> Any:
    """The type that an annotation's syntax tree means; `Any` where it names anything but plain types.

    Args:
        node: the tree.
        lookup: what a name that is not a plain type stands for; raises `LookupError` where it has no meaning.
    """
    try:
        return meant_by(node, lookup)
    except (LookupError, TypeError, ValueError):
        return Any


def meant_by(node: ast.expr, lookup: Lookup) -> Any:
    """The same; raises `LookupError` where it is no plain type."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            return meant_by(ast.parse(node.value, mode="eval").body, lookup)
        return node.value
    if isinstance(node, ast.Name):
        return _NAMES[node.id] if node.id in _NAMES else lookup(node.id)
    if isinstance(node, ast.Attribute):
        return lookup(ast.unparse(node))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _union([meant_by(node.left, lookup), meant_by(node.right, lookup)])
    if isinstance(node, ast.Subscript):
        outer = _last_name(node.value)
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if outer in ("Optional", "Union"):
            options = [meant_by(item, lookup) for item in inner]
            return _union([*options, None] if outer == "Optional" else options)
        if outer == "Literal":
            return Literal[tuple(ast.literal_eval(item) for item in inner)]
        of = _NAMES[outer] if outer != "Annotated" else None
        first = meant_by(inner[0], lookup) if of in (list, None) else None
        if of is not None:
            return list[first] if of is list else of  # type: ignore[valid-type]
        bounds = _bounds(inner[1:], lookup)
        return Annotated[(first, *bounds)] if bounds else first
    raise LookupError(ast.unparse(node))


def _last_name(node: ast.expr) -> str:
    """`Annotated` for both `Annotated` and `typing.Annotated`."""
    return ast.unparse(node).rpartition(".")[2]


def _bounds(nodes: Sequence[ast.expr], lookup: Lookup) -> list[Bound]:
    """Bounds among the remarks of `Annotated`; the others are for someone else."""
    calls = [(KINDS.get(_last_name(node.func)), node) for node in nodes if isinstance(node, ast.Call)]
    return [
        kind(
            *(lookup(item.id) if isinstance(item, ast.Name) else ast.literal_eval(item) for item in call.args)
        )
        for kind, call in calls
        if kind is not None
    ]


def _union(options: Sequence[Any]) -> Any:
    return Union[tuple(options)]  # noqa: UP007 (options of Literal and None do not take `|`)


def matches(value: Any, annotation: Any) -> bool:
    """True if a plain value (number, text, list, mapping, None) is of a type, within its bounds or not.

    An int fits a float.

    >>> matches(1, float), matches(True, int), matches("a", Literal["a", "b"]), matches([1, "a"], list[int])
    (True, False, True, False)
    """
    if annotation is Any:
        return True
    origin = get_origin(annotation)
    if origin is Annotated:
        return matches(value, get_args(annotation)[0])
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


def broken_rule(value: Any, annotation: Any) -> str | None:
    """Rule that a value of the right type breaks; None where it is within its bounds.

    >>> from transferlab.config.bounds import AtLeast, Below
    >>> broken_rule(1, Annotated[float, AtLeast(0), Below(1)] | None)
    'must be at least 0 and below 1, or null'
    """
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        bounds = [bound for bound in inner[1:] if isinstance(bound, Bound)]
        kept = all(bound.holds(value) for bound in bounds)
        return broken_rule(value, inner[0]) if kept else rule(bounds, value)
    if origin in (Union, types.UnionType):
        fitting = [option for option in inner if matches(value, option)]
        rules = [broken_rule(value, option) for option in fitting]
        if None in rules or not rules:
            return None
        others = [in_words(option) for option in inner if option not in fitting]
        return ", or ".join([str(rules[0]), *others])
    if origin is list:
        wrong = next((text for item in value if (text := broken_rule(item, inner[0]))), None)
        return f"each {wrong}" if wrong else None
    return None


def fault(value: Any, annotation: Any) -> str | None:
    """A sentence on what a value must be: of another type, or within its bounds; None where it is.

    >>> fault("autoo", int | Literal["auto"]), fault(1, int)
    ('must be a whole number or auto. Did you mean auto?', None)
    """
    if matches(value, annotation):
        broken = broken_rule(value, annotation)
        return f"{broken}." if broken else None
    options = choices(annotation)
    close = get_close_matches(value, options, n=1) if isinstance(value, str) else []
    unlike = "" if options and isinstance(value, str) else f", not {kind(value)}"
    return f"must be {in_words(annotation)}{unlike}.{f' Did you mean {close[0]}?' if close else ''}"


def choices(annotation: Any) -> list[str]:
    """The texts that a `Literal`, alone or within a union, allows."""
    if get_origin(annotation) is Literal:
        return [choice for choice in get_args(annotation) if isinstance(choice, str)]
    if get_origin(annotation) in (Union, types.UnionType):
        return [choice for option in get_args(annotation) for choice in choices(option)]
    return []


def in_words(annotation: Any) -> str:
    """Name of a type in plain words; bounds are a matter of `broken_rule`.

    >>> in_words(int | Literal["auto"] | None), in_words(list[str]), in_words(Literal["a", "b"])
    ('a whole number, auto or null', 'a list of text', 'a or b')
    """
    options = _options(annotation)
    return " or ".join([", ".join(options[:-1]), options[-1]] if len(options) > 1 else options)


def _options(annotation: Any) -> list[str]:
    if annotation is Any:
        return ["anything"]
    origin = get_origin(annotation)
    if origin is Annotated:
        return _options(get_args(annotation)[0])
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
    """Kind of a value, in the same words."""
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
