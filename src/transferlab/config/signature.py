"""Arguments and facts of a class, read from its source without importing it.

The signature of a class is the schema of its config node. Importing it would cost seconds of torch for a
typo, so its source file is found and parsed instead. Facts are its class variables with literal values.
"""

from __future__ import annotations

import ast
import gc
import importlib.machinery
import sys
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from transferlab.config.annotation import Lookup, evaluate, meant_by

_WITHOUT_ARGUMENTS = ("object", "ABC", "Protocol", "Module", "Generic")  # bases not worth following
_TYPING = frozenset(dir(typing))
_WITHOUT_CHOICES = "pytorch_lightning."  # names of its Trainer's annotations are classes: nothing to look up


@dataclass(frozen=True)
class Argument:
    """One argument: its annotation as a plain type and as it is written, and whether it must be given."""

    name: str
    annotation: Any
    text: str
    required: bool
    default: Any = ...  # the same where there is none, or one that is no literal


@dataclass(frozen=True)
class Signature:
    """The arguments of a class or function by name; `open` when it may take others too (`**kwargs`)."""

    target: str
    arguments: Mapping[str, Argument]
    open: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)  # class variables, inherited ones too


def signature(target: str, folders: Sequence[str] = ()) -> Signature | None:
    """The signature of the class or function with this dotted path, or None where no source is found.

    Args:
        target: `package.module.Name`.
        folders: where to look for modules before `sys.path`.
    """
    return _signature(target, (*folders, *sys.path))


def origin(target: str, folders: Sequence[str] = ()) -> str | None:
    """The dotted path at which a class or function is defined, imports followed; None: no source is found."""
    module, _, name = target.rpartition(".")
    found = _definition(module, name, (*folders, *sys.path)) if module else None
    return None if found is None else f"{found[1]}.{getattr(found[0], 'name', name)}"


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
def _definition(module: str, name: str, path: tuple[str, ...]) -> tuple[ast.stmt, str] | None:
    """The definition of `name`, or of `imported.name`, followed through imports; the module it stands in."""
    file = _source_file(module, path)
    if file is None:
        return None
    names, known, rest = _names(file), name, ""
    while known not in names and "." in known:
        known, _, last = known.rpartition(".")
        rest = f".{last}{rest}"
    node = names.get(known)
    if isinstance(node, ast.Import | ast.ImportFrom):
        imported = next(alias.name for alias in node.names if known == (alias.asname or alias.name))
        origin, _, last = f"{_prefix(node, module, file)}{imported}{rest}".rpartition(".")
        return _definition(origin, last, path)
    return None if node is None or rest else (node, module)


@cache
def _names(file: Path) -> Mapping[str, ast.stmt]:
    """The statements of a file that define or import a class, a function, a constant, an alias of a type."""
    found: dict[str, ast.stmt] = {}
    for node in _parsed(file).body:
        targets = getattr(node, "targets", [getattr(node, "target", getattr(node, "name", None))])
        names = [target if isinstance(target, str) else getattr(target, "id", "") for target in targets]
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.asname or alias.name for alias in node.names]
        for name in names:
            found.setdefault(name, node)
    return found


def _prefix(node: ast.Import | ast.ImportFrom, module: str, file: Path) -> str:
    """Prefix that makes an imported name a dotted path: `package.`, or nothing."""
    if isinstance(node, ast.Import):
        return ""
    parents = module.split(".")[: len(module.split(".")) - node.level + (file.name == "__init__.py")]
    return ".".join([*(parents if node.level else []), *([node.module] if node.module else []), ""])


@cache
def _parsed(file: Path) -> ast.Module:
    """The file's syntax tree; an empty one where it cannot be read as Python."""
    collects = gc.isenabled()
    gc.disable()  # a tree has many nodes and no garbage: to look for some takes longer than to parse
    try:
        return ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return ast.Module(body=[], type_ignores=[])
    finally:
        if collects:
            gc.enable()


@cache
def _source_file(module: str, path: tuple[str, ...]) -> Path | None:
    """The file of a module's source; finds it as the import system would, without running a package."""
    top, *rest = module.split(".")
    spec = importlib.machinery.PathFinder.find_spec(top, path)
    for name in rest:
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, list(spec.submodule_search_locations))
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _of_class(target: str, node: ast.ClassDef, module: str, path: tuple[str, ...]) -> Signature:
    """The arguments of `__init__`, of a dataclass's fields, or of what the bases take; all facts."""
    is_dataclass = any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)
    bases = [_of_base(target, base, module, path) for base in node.bases]
    stated = [*(base.facts for base in reversed(bases)), _own_facts(node, is_dataclass=is_dataclass)]
    facts = {name: value for each in stated for name, value in each.items()}
    facts = {name: value for name, value in facts.items() if value is not ...}
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return replace(_of_function(target, item, module, path, is_method=True), facts=facts)
    arguments: dict[str, Argument] = {}
    is_open = False
    for base in bases:
        arguments |= base.arguments
        is_open |= base.open
        if base.arguments and not is_dataclass:
            break
    if is_dataclass:
        arguments |= _fields(node, module, path)
    return Signature(target, arguments, is_open, facts)


def _of_base(target: str, base: ast.expr, module: str, path: tuple[str, ...]) -> Signature:
    name = ast.unparse(base).partition("[")[0]
    if name.rpartition(".")[2] in _WITHOUT_ARGUMENTS:
        return Signature(target, {})
    found = _definition(module, name, path)
    if found and isinstance(found[0], ast.ClassDef):
        return _of_class(target, found[0], found[1], path)
    return Signature(target, {}, open=True)


def _own_facts(node: ast.ClassDef, *, is_dataclass: bool) -> dict[str, Any]:
    """The public names that a class's body defines; `...` for what is no literal (a property, say)."""
    found: dict[str, Any] = {}
    for item in node.body:
        if isinstance(item, ast.FunctionDef):
            found[item.name] = ...
        elif isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name):
            found[item.targets[0].id] = _literal(item.value)
        elif isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            is_field = is_dataclass and "ClassVar" not in ast.unparse(item.annotation)
            found |= {} if is_field or item.value is None else {item.target.id: _literal(item.value)}
    return {name: value for name, value in found.items() if not name.startswith("_")}


def _literal(node: ast.expr | None) -> Any:
    """The value of a literal; `...` for any other expression."""
    try:
        return ... if node is None else ast.literal_eval(node)
    except ValueError:
        return ...


def _fields(node: ast.ClassDef, module: str, path: tuple[str, ...]) -> dict[str, Argument]:
    """The fields of a dataclass that its constructor takes."""
    found = {}
    for item in node.body:
        if not isinstance(item, ast.AnnAssign) or not isinstance(item.target, ast.Name):
            continue
        name, default = item.target.id, "" if item.value is None else ast.unparse(item.value)
        is_field = name != "_" and "ClassVar" not in ast.unparse(item.annotation)  # _: KW_ONLY
        if is_field and "init=False" not in default:
            required = not default or (default.startswith("field(") and "default" not in default)
            found[name] = _argument(name, item.annotation, _lookup(module, path), required, item.value)
    return found


def _of_function(
    target: str, node: ast.FunctionDef, module: str, path: tuple[str, ...], *, is_method: bool
) -> Signature:
    positional = [*node.args.posonlyargs, *node.args.args]
    defaults = [None] * (len(positional) - len(node.args.defaults)) + node.args.defaults
    every = zip([*positional, *node.args.kwonlyargs], [*defaults, *node.args.kw_defaults], strict=True)
    look = _lookup(module, path)
    arguments = {
        item.arg: _argument(item.arg, item.annotation, look, default is None, default)
        for item, default in list(every)[is_method:]
    }
    return Signature(target, arguments, open=node.args.kwarg is not None)


def _argument(
    name: str, annotation: ast.expr | None, look: Lookup, required: bool, default: ast.expr | None
) -> Argument:
    if annotation is None:
        return Argument(name, Any, "Any", required, _literal(default))
    return Argument(name, evaluate(annotation, look), ast.unparse(annotation), required, _literal(default))


def _lookup(module: str, path: tuple[str, ...]) -> Lookup:
    """Aliases of types (`BatchNorm = Literal[...]`) in the annotations of a module, with their meanings."""

    def meaning(name: str) -> Any:
        known = name in _TYPING or module.startswith(_WITHOUT_CHOICES)
        node, origin = (None if known else _definition(module, name, path)) or (None, "")
        if (value := getattr(node, "value", None)) is None:
            raise LookupError(name)
        return meant_by(value, _lookup(origin, path))

    return meaning
