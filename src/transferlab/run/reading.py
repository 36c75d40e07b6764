"""Readers of JSON, YAML, CSV and tensors: whatever is wrong with a file becomes one sentence.

A file of a run folder may be cut short by a full disk, edited by hand or come from elsewhere. So each format
has one reader, which names the path, the fault and the fix, and checks the shape of what it has read.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transferlab.run.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    import yaml
    from omegaconf import DictConfig

COPY_AGAIN = "copy it again from where it was written, or delete it"
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


class UnreadableFile(UserError):
    """A file that cannot be used: absent, not permitted, damaged, or of another shape."""


def unreadable(file: Path, reason: object, fix: str = COPY_AGAIN) -> UnreadableFile:
    """The sentence on such a file."""
    text = " ".join(str(reason).split())
    text = text if len(text) <= 200 else f"{text[:197]}..."
    return UnreadableFile(f"{file}: {text.rstrip('.')}. Fix: {fix}.")


@contextlib.contextmanager
def parsing(file: Path, kind: str, *, fix: str = COPY_AGAIN) -> Iterator[None]:
    """Within this nothing but the parser of a format runs: whatever it raises is a fault of the file.

    Raises:
        UnreadableFile: instead of it.
    """
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        raise unreadable(file, f"cannot be read ({error.strerror or error})", fix) from error
    except RecursionError as error:
        raise unreadable(file, f"this is not readable {kind} (nested too deeply)", fix) from error
    except Exception as error:  # parsers raise anything, from KeyError to RuntimeError
        found = str(error) or type(error).__name__
        raise unreadable(file, f"this is not readable {kind} ({found})", fix) from error


def read_text(file: Path, kind: str = "text", *, fix: str = COPY_AGAIN) -> str:
    """The text of a file: UTF-8, or UTF-16 and UTF-32 with the mark that editors on Windows write.

    Raises:
        UnreadableFile: it cannot be read, or is not text.
    """
    with parsing(file, kind, fix=fix):
        content = file.read_bytes()
        encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8")
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError as error:
            raise unreadable(file, f"this is not UTF-8 text (byte {error.start})", fix) from error
        if "\0" in text:
            raise unreadable(file, "this is not text (it holds zero bytes)", fix)
    return text


def read_json(file: Path, shape: Any = dict[str, Any], *, fix: str = COPY_AGAIN) -> Any:
    """The content of a JSON file, of this shape.

    Args:
        file: its path.
        shape: a type as pydantic takes it; a `TypedDict` for a mapping, of which further keys are kept.
        fix: what to do where it cannot be used.

    Raises:
        UnreadableFile: it cannot be read, is no JSON, or has another shape.
    """
    text = read_text(file, "JSON", fix=fix)
    with parsing(file, "JSON", fix=fix):
        content = json.loads(text)
    return of_shape(content, shape, file, fix=fix)


def read_yaml(file: Path, shape: Any = dict[str, Any], *, fix: str = COPY_AGAIN) -> Any:
    """The plain content of a YAML file, of this shape; nothing is resolved.

    Raises:
        UnreadableFile: it cannot be read, is no YAML, or has another shape.
    """
    import yaml

    # the one written in C where there is one: ten times as fast
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = read_text(file, "YAML", fix=fix)
    with parsing(file, "YAML", fix=fix):
        _require_bounded(text)
        content = yaml.load(text, loader)
    return of_shape(content, shape, file, fix=fix)


_MOST_LEVELS = 200  # of a YAML file; the loader in C ends the process where it has no stack left
_MOST_VALUES = 100_000  # of a YAML file, each alias counted as what it stands for; a config has about 200


def unbounded(file: Path) -> str | None:
    """Why a YAML file must not be loaded; None where it may be, or is not readable at all."""
    import yaml

    try:
        _require_bounded(file.read_text(encoding="utf-8") if file.is_file() else "")
    except RecursionError:
        return "it nests too deeply"
    except _TooLarge as error:
        return str(error)
    except (OSError, ValueError, yaml.YAMLError):  # the loader says what is wrong with it
        return None
    return None


class _TooLarge(ValueError):
    """A YAML text whose values would fill the memory."""


def _require_bounded(text: str) -> None:
    """Refuse a YAML text that nests too deeply or expands without bound, before its values are made.

    Flow collections open with a bracket, block collections by what stands before a line's first word: few of
    both cannot nest deeply, and only else the text is parsed for it.

    Raises:
        RecursionError: it nests too deeply.
        _TooLarge: its anchors expand to too many values.
    """
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    opened = text.count("[") + text.count("{")
    before = max((len(found) for found in re.findall(r"^[ \t?:-]*", text, re.MULTILINE)), default=0)
    if max(opened, before) > _MOST_LEVELS:
        level = 0
        for event in yaml.parse(text, loader):
            level += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if level > _MOST_LEVELS:
                raise RecursionError
    if "&" in text and "*" in text:
        root = yaml.compose(text, loader)
        if root is not None and _num_values(root, {}) > _MOST_VALUES:
            raise _TooLarge(f"its anchors expand to more than {_MOST_VALUES:,} values")


def _num_values(node: yaml.Node, known: dict[int, int | None]) -> int:
    """The number of values below a node, each alias counted as what it stands for."""
    import yaml

    if id(node) in known:
        size = known[id(node)]
        if size is None:
            raise _TooLarge("its anchors refer to themselves")
        return size
    known[id(node)] = None  # while it is counted
    children: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        children = [child for pair in node.value for child in pair]
    elif isinstance(node, yaml.SequenceNode):
        children = node.value
    size = known[id(node)] = 1 + sum(_num_values(child, known) for child in children)
    return size


def read_config(file: Path, *, fix: str = COPY_AGAIN) -> DictConfig:
    """The config in a YAML file, by OmegaConf's rules: `1e-3` is a number, no key stands there twice.

    Raises:
        UnreadableFile: it cannot be read, is no YAML, or no mapping.
    """
    from omegaconf import DictConfig, OmegaConf

    text = read_text(file, "YAML", fix=fix)
    with parsing(file, "YAML", fix=fix):
        _require_bounded(text)
        config = OmegaConf.create(text)
        if not text.strip() or not isinstance(config, DictConfig) or config._is_none():
            raise ValueError("it holds no mapping")
    return config


def read_csv(file: Path, columns: Sequence[str] = (), *, fix: str = COPY_AGAIN, **how: Any) -> pd.DataFrame:
    """The table in a CSV file.

    Args:
        file: its path.
        columns: that it must have.
        fix: what to do where it cannot be used.
        how: further arguments of `pandas.read_csv`.

    Raises:
        UnreadableFile: it cannot be read, is no CSV, or lacks a column.
    """
    import pandas as pd

    text = read_text(file, "CSV", fix=fix)
    with parsing(file, "CSV", fix=fix):
        table = pd.read_csv(io.StringIO(text), **how)
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise unreadable(file, f"has no column {missing[0]}", fix)
    return table


def read_arrays(file: Path, *, fix: str = COPY_AGAIN) -> dict[str, Any]:
    """The arrays in a safetensors file, by name.

    Raises:
        UnreadableFile: it cannot be read, or is not such a file.
    """
    from safetensors.numpy import load

    with parsing(file, "safetensors", fix=fix):
        return load(file.read_bytes())


def of_shape(content: Any, shape: Any, file: Path, *, fix: str = COPY_AGAIN) -> Any:
    """`content` itself, if it has this shape.

    Raises:
        UnreadableFile: it has another; the first misfit is named by its dotted path.
    """
    if shape is Any:
        return content
    from pydantic import ValidationError

    try:
        _adapter(shape).validate_python(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        reason = first["msg"][:1].lower() + first["msg"][1:]
        raise unreadable(file, f"`{place}`: {reason}" if place else reason, fix) from error
    except RecursionError as error:
        raise unreadable(file, "nested too deeply", fix) from error
    return content


@cache
def _adapter(shape: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(shape)
