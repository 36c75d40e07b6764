"""Config files: the folders that hold them, shipped and the user's own, and lines and comments in them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import transferlab
from transferlab.run.errors import UserError

_PACKAGE = Path(transferlab.__file__).parent
MOST_VALUES = (
    100_000  # of a YAML file, with each alias replaced by what it stands for; a config has about 200
)
# the one written in C where there is one: ten times as fast
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def shipped() -> Path:
    """The configs that come with transferlab: inside the wheel, or at the top of a checkout."""
    inside = _PACKAGE / "conf"
    return inside if inside.is_dir() else _PACKAGE.parents[1] / "conf"


def users() -> Path | None:
    """`./conf` of the folder that the command runs in, where there is one other than the shipped one."""
    own = Path.cwd() / "conf"
    return own if own.is_dir() and own.resolve() != shipped().resolve() else None


def folders(search_path: Iterable[str]) -> list[Path]:
    """The folders behind entries of Hydra's search path, its own configs left out.

    Args:
        search_path: `file://FOLDER`, `FOLDER` or `pkg://PACKAGE`.
    """
    found: list[Path] = []
    for entry in search_path:
        scheme, _, place = entry.partition("://")
        if scheme == "file" or not place:
            found.append(Path(place or entry))
        elif scheme == "pkg" and not place.startswith("hydra."):
            spec = find_spec(place.replace("/", "."))
            found += [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
    return [folder for folder in found if folder.is_dir()]


def options(searched: Sequence[Path]) -> dict[str, list[str]]:
    """Each config group with the names of its options, from all folders: `strategy/penalty` → l1, l2_sp."""
    found: dict[str, set[str]] = {}
    for folder in searched:
        for parent, _, files in os.walk(folder):
            group = Path(parent).relative_to(folder).as_posix()
            names = {Path(file).stem for file in files if file.endswith(".yaml")}
            if names and group != "." and group.partition("/")[0] != "hydra":
                found[group] = found.get(group, set()) | names
    return {group: sorted(found[group]) for group in sorted(found)}


def with_defaults(searched: Sequence[Path], names: Sequence[str]) -> list[Path]:
    """Those of these config files that exist, and the ones that they build on by their `defaults`."""
    found: list[Path] = []
    waiting = [folder / name for folder in searched for name in names]
    while waiting:
        file = waiting.pop(0)
        if file in found or not file.is_file():
            continue
        found.append(file)
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        defaults = content.get("defaults") if isinstance(content, dict) else None
        waiting += [file.with_name(f"{name}.yaml") for name in defaults or [] if isinstance(name, str)]
    return found


def shadowed(searched: Sequence[Path]) -> list[str]:
    """A warning for each file of the user's that is never read, because a shipped one has its name."""
    return [
        f"{near(file)} is not read: transferlab has its own {name.as_posix()}. Rename yours."
        for folder in searched
        if folder.resolve() != shipped().resolve()
        for file in sorted(folder.rglob("*.yaml"))
        if (shipped() / (name := file.relative_to(folder))).is_file()
    ]


def near(file: Path) -> str:
    """A path as short as it can be said: relative to the current folder where it lies in there."""
    here = Path.cwd()
    return str(file.relative_to(here)) if file.is_relative_to(here) else str(file)


def where(pattern: str, files: Sequence[Path]) -> str:
    """` (in FILE)` for the files in which a line matches, at most three; nothing where none does."""
    found = [near(file) for file in files if re.search(pattern, _text(file), re.MULTILINE)]
    return f" (in {' or '.join(found[:3])})" if found else ""


def where_key(key: str, files: Sequence[Path]) -> str:
    """The same for files that set a key of this name, in block or flow style."""
    return where(rf"^\s*(.*[.{{\s,])?{re.escape(key)}\s*:", files)


def shipped_options(group: str) -> list[str]:
    """The shipped options of a config group."""
    return sorted(file.stem for file in (shipped() / group.partition("@")[0]).glob("*.yaml"))


def slots(chosen: Mapping[str, str | None]) -> dict[str, str]:
    """The config group that fills a dotted key: `strategy.objective` → `strategy/objective`."""
    # a group that stands for itself comes last, so that data@ is not taken for data/loading@data
    return {
        group.rpartition("@")[2].replace("/", "."): group
        for group in sorted(chosen, key=lambda g: "@" not in g)
    }


def explained(key: str, group: str, option: str | None) -> str:
    """Comment beside `key: ???` in the file of a shipped option."""
    file = shipped() / group.partition("@")[0] / f"{option}.yaml"
    comment = re.compile(rf"^{re.escape(key)}:\s*\?\?\?\s*#\s*(.*?)\s*$", re.MULTILINE)
    found = comment.search(_text(file)) if file.is_file() else None
    return found[1] if found else ""


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")


def read_yaml(file: Path) -> Any:
    """The content of a YAML file as plain data.

    Raises:
        UserError: it is not UTF-8, not YAML, or expands to more than `MOST_VALUES` values.
    """
    return _loaded(_utf8(file), file, lambda text: yaml.load(text, _LOADER))


def read_config(file: Path) -> DictConfig:
    """A recorded config, which holds no interpolation.

    Raises:
        UserError: it cannot be read, is no mapping, or holds `${`.
    """
    config = _loaded(_utf8(file), file, OmegaConf.create)
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


def _utf8(file: Path) -> str:
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
