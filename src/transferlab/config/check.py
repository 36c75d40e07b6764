"""Check a composed config against the signatures of the classes that it names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from transferlab.config.classes import find, shipped_targets
from transferlab.config.resolvers import interpolations, only_known
from transferlab.config.rules.contradictions import MOVING, contradictions, moves_files
from transferlab.config.signature import signature
from transferlab.config.walk import Walk
from transferlab.run.errors import UserError

_EXPERIMENT = "transferlab.config.schema.Experiment"


class ConfigError(UserError):
    """The config does not fit the code. The message lists every problem, one a line."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"The config has {count}:\n  " + "\n  ".join(self.problems))


def check(
    config: DictConfig,
    *,
    given: Mapping[str, Any],
    files: Sequence[Path] = (),
    chosen: Mapping[str, str | None] | None = None,
) -> list[str]:
    """Every problem of a composed config, as sentences; see `resolved`."""
    return _resolved(config, given, files, chosen)[1]


def resolved(
    config: DictConfig,
    *,
    given: Mapping[str, Any],
    files: Sequence[Path] = (),
    chosen: Mapping[str, str | None] | None = None,
    problems: Sequence[str] = (),
) -> DictConfig:
    """The config with every interpolation resolved, once; from here on it is plain data.

    Args:
        config: the composed config without Hydra's part, interpolations unresolved.
        given: the dotted keys set on the command line; their problems need no file name.
        files: the YAML files that may hold what a user wrote, to say where a wrong key stands.
        chosen: the option of each config group, to say how to choose another.
        problems: that are known already.

    Raises:
        ConfigError: all problems.
    """
    plain, found = _resolved(config, given, files, chosen)
    if problems or found:
        raise ConfigError([*problems, *found])
    _add_defaults(plain)
    made = OmegaConf.create(plain)
    assert isinstance(made, DictConfig)
    return made


def _add_defaults(node: Any) -> None:
    """Add the defaults of arguments that a config leaves out, as one of an earlier version may."""
    if not isinstance(node, dict):
        return
    for value in node.values():
        _add_defaults(value)
    taken = find(node["_target_"]) if node.get("_target_") in shipped_targets() else None
    for name, argument in taken.arguments.items() if taken is not None else ():
        if argument.default is not ...:
            node.setdefault(name, argument.default)


def _resolved(
    config: DictConfig,
    given: Mapping[str, Any],
    files: Sequence[Path],
    chosen: Mapping[str, str | None] | None,
) -> tuple[Any, list[str]]:
    """The resolved config as plain data, as far as it can be resolved, and every problem."""
    plain: Any = None
    with only_known():
        walk = Walk(config, given, files, chosen or {})
        walk.node(config, "", signature(_EXPERIMENT))
        try:
            plain = OmegaConf.to_container(config, resolve=True) if walk.is_whole else None
        except (OmegaConfBaseException, RecursionError) as error:  # within a free value, or an unknown key
            if not walk.found:
                walk.unresolved(error)
        problems = walk.sentences(plain)
        is_live = any(interpolations(OmegaConf.to_container(config)))
        if plain is not None and not problems and is_live:
            # what the references have become, as if it were typed there
            walk = Walk(OmegaConf.create(plain), given, files, chosen or {})
            walk.node(walk.root, "", signature(_EXPERIMENT))
            problems = walk.sentences(plain)
    if plain is not None and walk.is_whole:
        wrong = [f"{path}=" for path, _, _ in walk.found]
        problems += [text for text in contradictions(plain) if not any(path in text for path in wrong)]
        if moves_files(plain) and MOVING not in given:
            problems.append(
                f"{MOVING}=quarantine: it moves files, so only the command line may ask for it. Fix: add "
                f"{MOVING}=quarantine to the command, or {MOVING}=skip."
            )
    return plain, problems


def check_part(node: Mapping[str, Any], path: str, *, allow: Sequence[str] = ()) -> list[str]:
    """Every problem of one class's node that stands in a file of its own, as sentences.

    Args:
        node: `_target_` and arguments, without interpolations.
        path: what to call it.
        allow: the user's own modules.
    """
    if live := [f"{place}={text}: a class takes no ${{...}}." for place, text in interpolations(node, path)]:
        return live
    root = OmegaConf.create({path: dict(node), "allow": list(allow)})
    walk = Walk(root, {"allow": allow}, (), {})
    walk.is_part = True
    walk.node(root[path], path, None)
    return walk.sentences({path: node})
