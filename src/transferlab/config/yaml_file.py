"""YAML files from anywhere, read into plain data; a file whose anchors expand without bound is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from transferlab.run.errors import UserError

MOST_VALUES = 100_000  # of a file, with each alias replaced by what it stands for; a config has about 200
# the one written in C where there is one: ten times as fast
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(file: Path) -> Any:
    """The content of a YAML file as plain data.

    Raises:
        UserError: it is not UTF-8, not YAML, or expands to more than `MOST_VALUES` values.
    """
    return _loaded(_text(file), file, lambda text: yaml.load(text, _LOADER))


def read_config(file: Path) -> DictConfig:
    """A recorded config, which holds no interpolation.

    Raises:
        UserError: it cannot be read, is no mapping, or holds `${`.
    """
    config = _loaded(_text(file), file, OmegaConf.create)
    if not isinstance(config, DictConfig):
        raise UserError(f"{file}: this is not a config (a mapping). Fix: copy it again from the run.")
    return plain_config(OmegaConf.to_container(config), file)


def plain_config(content: Any, place: Path | str) -> DictConfig:
    """The config of recorded plain data, in which nothing is left to resolve.

    Raises:
        UserError: it is no mapping, or a text in it holds `${`.
    """
    if not isinstance(content, Mapping):
        raise UserError(f"{place}: this is not a config (a mapping). Fix: copy it again from the run.")
    for path, text in interpolations(content):
        raise UserError(
            f"{place}: {path}={text}: a recorded config holds no ${{...}}. Fix: write the value itself."
        )
    try:
        config = OmegaConf.create(dict(content))
    except OmegaConfBaseException as error:
        raise UserError(f"{place}: {str(error).splitlines()[0]}. Fix: copy it again from the run.") from error
    assert isinstance(config, DictConfig)
    return config


def interpolations(content: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Dotted path and text of each key or value that holds `${`, which OmegaConf would resolve."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            full = f"{path}.{key}" if path else str(key)
            if "${" in str(key):
                yield full, str(key)
            yield from interpolations(value, full)
    elif isinstance(content, list | tuple):
        for place, value in enumerate(content):
            yield from interpolations(value, f"{path}.{place}" if path else str(place))
    elif isinstance(content, str) and "${" in content:
        yield path, content


def unbounded(file: Path) -> str | None:
    """Why a YAML file must not be loaded; None where it may be, or is not readable at all."""
    try:
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        return _excess(text)
    except (OSError, ValueError, yaml.YAMLError):
        return None  # the loader says what is wrong with it


def _excess(text: str) -> str | None:
    """Why a YAML text is refused before its values are made; None where it is not."""
    if "&" not in text or "*" not in text:
        return None
    root = yaml.compose(text, _LOADER)
    try:
        too_many = root is not None and _size(root, {}) > MOST_VALUES
    except RecursionError:
        return "its anchors refer to themselves"
    return f"its anchors expand to more than {MOST_VALUES:,} values" if too_many else None


def _size(node: yaml.Node, known: dict[int, int | None]) -> int:
    """The number of values below a node, each alias counted as what it stands for."""
    if id(node) in known:
        size = known[id(node)]
        if size is None:
            raise RecursionError
        return size
    known[id(node)] = None  # while it is counted
    children: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        children = [child for pair in node.value for child in pair]
    elif isinstance(node, yaml.SequenceNode):
        children = node.value
    size = known[id(node)] = 1 + sum(_size(child, known) for child in children)
    return size


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not UTF-8 text ({error}). Fix: save it as such.") from error
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.") from error


def _loaded(text: str, file: Path, load: Any) -> Any:
    try:
        if excess := _excess(text):
            raise UserError(f"{file}: {excess}. Fix: write the values themselves.")
        return load(text)
    except RecursionError:
        raise UserError(f"{file}: its values are nested too deeply. Fix: write them flat.") from None
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, AssertionError) as error:
        if isinstance(error, UserError):
            raise
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UserError(f"{file} is not readable YAML ({reason}). Fix: correct or replace it.") from error
