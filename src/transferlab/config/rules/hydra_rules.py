"""Rules for Hydra's own part of a config: one list says what may be set there, by whom.

Hydra makes objects of its launcher, sweeper and callbacks, and of what its logging names. A config file comes
from anywhere, so each section has a rule here, and what has none is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import hydra
import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from transferlab.config.annotation import plain
from transferlab.config.classes import is_allowed, shipped_targets
from transferlab.config.overrides import Given
from transferlab.config.signature import signature

OURS = "hydra_plugins.transferlab_plugins."
_BASIC = "hydra._internal.core_plugins."
# settings of launchers that reach a shell or its scheduler as they are
SHELL = ("shell_before", "further", "template", "alive", "cancel")
_SUBDIRS = ("${job_identity:}", "${hydra.job.num}")  # ours, and Hydra's where a config has none
_OUTSIDE = "leads out of the working folder. Fix: give it on the command line:"
Alone = Callable[[Sequence[Given]], DictConfig]  # the launcher that these overrides alone choose


def problems_of_hydra(
    config: DictConfig, read: Sequence[Given], allow: Sequence[str], launcher_alone: Alone
) -> list[str]:
    """Whatever a config may not set of `hydra`, as sentences.

    Args:
        config: the composed `hydra` section, within its config.
        read: the overrides of the command line.
        allow: the user's own modules.
        launcher_alone: composes the launcher without an experiment.
    """
    raw: Any = OmegaConf.to_container(config)
    typed = {given.key for given in read}
    found = [
        f"hydra.{path}={text}: an escaped interpolation has no place here. Leave it out."
        for path, text in _texts(raw)
        if "\\$" in text and not path.startswith(("overrides.", "job.override_dirname"))
    ]
    for section, value in raw.items():
        rule = _RULES.get(section)
        if rule is None:
            found.append(f"hydra.{section}: a config may not set this. Leave it out.")
        else:
            found += rule(value, typed)
    choices = raw["runtime"].get("choices") or {}
    found += [text for name in ("job_logging", "hydra_logging") for text in _logging(name, raw, choices)]
    found += _callbacks(raw.get("callbacks") or {}, allow)
    found += _overrides(raw["overrides"], read)
    found += problems_of_plugin(raw["launcher"], "hydra.launcher")
    found += problems_of_plugin(raw["sweeper"], "hydra.sweeper")
    return found + list(_shell(raw["launcher"], read, launcher_alone))


def problems_of_folders(config: DictConfig, read: Sequence[Given]) -> list[str]:
    """Faults of where runs go: anywhere for the command line, below the working folder for a file."""
    typed = {given.key for given in read}
    return [text for path in ("run.dir", "sweep.dir") for text in _folder(config, path, typed)]


def problems_of_plugin(node: Any, path: str) -> list[str]:
    """A sentence for each setting that a launcher or sweeper does not have, and for each class within it."""
    if not isinstance(node, Mapping):
        return [f"{path}={plain(node)}: choose an option: {path.replace('.', '/')}=..."]
    target = str(node.get("_target_"))
    found = [
        f"{path}.{inner}._target_={named}: a config may not name this class."
        for inner, named in _targets({key: value for key, value in node.items() if key != "_target_"})
    ]
    if not target.startswith(("hydra_plugins.", _BASIC)) or not target.replace(".", "").isidentifier():
        return [*found, f"{path}._target_={target}: a config may not name this class."]
    taken = signature(target) if target.startswith((OURS, _BASIC)) else None
    for key in map(str, node):
        if key.startswith("_") and key not in ("_target_", "_convert_"):
            found.append(f"{path}.{key}: there is no such key. Leave it out.")
        elif taken is not None and not key.startswith("_") and key not in taken.arguments:
            found.append(f"{path}.{key}: there is no such key. Keys of {path}: {', '.join(taken.arguments)}.")
    if node.get("params"):  # overrides that no check has seen
        values = " ".join(f"{key}={value}" for key, value in dict(node["params"]).items())
        found.append(f"{path}.params: a sweep's values stand on the command line. Fix: {values}")
    return found


def _shell(launcher: Any, read: Sequence[Given], alone: Alone) -> Iterator[str]:
    """Lines of shell come from the command line, or from the file of a launcher that was chosen there."""
    node = launcher if isinstance(launcher, Mapping) else {}
    typed = [given for given in read if given.key.partition(".")[0].partition("/")[0] == "hydra"]
    wanted = [key for key in SHELL if node.get(key) and f"hydra.launcher.{key}" not in {g.key for g in typed}]
    chosen: Any = OmegaConf.to_container(alone(typed)) if wanted else {}
    for key in wanted:
        if chosen.get(key) != node[key]:
            text = plain(node[key])
            yield (
                f"hydra.launcher.{key}={text}: a config file may not add this to a launcher. Fix: give it on "
                f"the command line: 'hydra.launcher.{key}={text}'"
            )


def _callbacks(nodes: Mapping[str, Any], allow: Sequence[str]) -> Iterator[str]:
    """Hydra runs the classes of `hydra.callbacks` itself, so they need the permission of the command line."""
    for path, target in _targets(nodes):
        if target in shipped_targets() or not is_allowed(target, allow):
            yield f"hydra.callbacks.{path}._target_={target}: a config may not name this class."


def _logging(name: str, raw: Mapping[str, Any], choices: Mapping[str, Any]) -> Iterator[str]:
    """Python's logging makes any object that its config names, and writes files: only Hydra's own options."""
    option = choices.get(f"hydra/{name}")
    if raw.get(name) != _hydras_own(name, str(option)):
        yield f"hydra.{name}: only an option of Hydra's own, unchanged. Fix: hydra/{name}=none"


@cache
def _hydras_own(name: str, option: str) -> Any:
    file = Path(hydra.__file__).parent / "conf" / "hydra" / name / f"{Path(option).name}.yaml"
    return yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else ...


def _overrides(section: Mapping[str, Any], read: Sequence[Given]) -> Iterator[str]:
    """Hydra records what was typed; a file must not pretend."""
    typed = {given.only(0).for_hydra() for given in read}
    for text in [*section.get("task", ()), *section.get("hydra", ())]:
        if text not in typed and not str(text).startswith("hydra.mode="):
            yield f"hydra.overrides: {text} was not typed. Leave it out."


def _folder(config: DictConfig, path: str, typed: set[str]) -> Iterator[str]:
    try:
        place = Path(str(OmegaConf.select(config, path)))
    except OmegaConfBaseException as error:
        yield f"hydra.{path}: {str(error).splitlines()[0].rpartition('interpolation: ')[2]}."
        return
    if f"hydra.{path}" not in typed and (place.is_absolute() or ".." in place.parts or "${" in str(place)):
        yield f"hydra.{path}={place}: {_OUTSIDE} hydra.{path}={place}"


def _plain_name(path: str) -> Callable[[Any, set[str]], Iterator[str]]:
    def rule(value: Any, typed: set[str]) -> Iterator[str]:
        if value is not None and Path(str(value)).name != str(value):
            yield f"hydra.{path}={value}: must be a plain name. Leave it out."

    return rule


def _job(section: Mapping[str, Any], typed: set[str]) -> Iterator[str]:
    for key in ("env_set", "env_copy"):  # LD_PRELOAD, PYTHONPATH: what they name is run
        if section.get(key):  # values are not shown: Hydra has read those of `env_copy`
            names = ", ".join(map(str, section[key]))
            yield f"hydra.job.{key}: set {names} in your shell instead. Leave it out."
    yield from _plain_name("job.name")(section.get("name"), typed)


def _search_path(section: Any, typed: set[str]) -> Iterator[str]:
    if section and "hydra.searchpath" not in typed:
        text = plain(section)
        yield f"hydra.searchpath={text}: a config file cannot add folders. Give it on the command line."


def _sweep(section: Mapping[str, Any], typed: set[str]) -> Iterator[str]:
    subdir = str(section.get("subdir"))
    if "hydra.sweep.subdir" not in typed and subdir not in _SUBDIRS:
        yield f"hydra.sweep.subdir={subdir}: a config file cannot name the folders of jobs. Leave it out."


def _no_class(path: str) -> Callable[[Any, set[str]], Iterator[str]]:
    def rule(value: Any, typed: set[str]) -> Iterator[str]:
        for inner, target in _targets({path: value}):
            yield f"hydra.{inner}._target_={target}: a config may not name this class."

    return rule


def _checked_above(value: Any, typed: set[str]) -> Iterator[str]:
    yield from ()


_RULES: Mapping[str, Callable[[Any, set[str]], Iterator[str]]] = {
    **dict.fromkeys(
        ("launcher", "sweeper", "callbacks", "job_logging", "hydra_logging", "overrides"), _checked_above
    ),
    **{name: _no_class(name) for name in ("run", "help", "hydra_help", "runtime", "env", "mode", "verbose")},
    "sweep": _sweep,
    "job": _job,
    "searchpath": _search_path,
    "output_subdir": _plain_name("output_subdir"),
}


def _targets(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Path and text of every `_target_`, and of every factory of Python's logging."""
    for key, value in _items(node):
        if key in ("_target_", "()"):
            yield path, str(value)
        else:
            yield from _targets(value, f"{path}.{key!s}" if path else str(key))


def _texts(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    for key, value in _items(node):
        full = f"{path}.{key!s}" if path else str(key)
        if isinstance(value, str):
            yield full, value
        yield from _texts(value, full)


def _items(node: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(node, Mapping):
        return node.items()
    return enumerate(node) if isinstance(node, list) else ()
