"""Check a composed config against the signatures of the classes that it names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

from transferlab.config.allowed import ALLOWED, is_allowed
from transferlab.config.rules import contradictions
from transferlab.config.signature import Argument, Signature, choices, matches, signature
from transferlab.run.errors import UserError

_EXPERIMENT = "transferlab.config.schema.Experiment"
_HYDRAS = ("_target_", "_convert_", "_recursive_")  # keys that `instantiate` understands

# Arguments that the program itself passes to a class, not the config
GIVEN: Mapping[str, frozenset[str]] = {
    "pytorch_lightning.Trainer": frozenset(
        {"logger", "callbacks", "use_distributed_sampler", "default_root_dir", "enable_checkpointing"}
    ),
    "transferlab.backbone.network.Backbone": frozenset({"load_weights"}),
    "transferlab.training.loggers.tensorboard": frozenset({"folder", "run_id"}),
    "transferlab.training.loggers.wandb": frozenset({"folder", "run_id"}),
}


class ConfigError(UserError):
    """The config does not fit the code. The message lists every problem, one a line."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"The config has {count}:\n  " + "\n  ".join(self.problems))


def check(
    config: DictConfig, *, given: Mapping[str, Any], files: Sequence[Path], groups: Sequence[str] = ()
) -> list[str]:
    """Every problem of a composed config, as sentences.

    Args:
        config: the composed config without Hydra's part, interpolations unresolved.
        given: the dotted keys set on the command line; their problems need no file name.
        files: the user's YAML files, to say where a wrong key stands.
        groups: the names of the config groups, for "did you mean".
    """
    allow = [str(item) for item in (config.get("allow") or [])] if "allow" in given else []
    walk = _Walk(config, allow, given, files, groups)
    walk.node(config, "", signature(_EXPERIMENT))
    if not walk.problems:
        resolved = OmegaConf.to_container(config, resolve=True)
        assert isinstance(resolved, dict)
        walk.problems += contradictions({str(key): value for key, value in resolved.items()})
    return walk.problems


def known_paths(config: DictConfig | ListConfig | Any, path: str = "") -> Iterator[str]:
    """The dotted path of every key of a config."""
    if isinstance(config, DictConfig) and not config._is_none() and not config._is_missing():
        for key in config:
            full = f"{path}.{key}" if path else str(key)
            yield full
            yield from known_paths(config._get_node(str(key)), full)


class _Walk:
    """Collects the problems of a config, node by node."""

    def __init__(
        self,
        root: DictConfig,
        allow: Sequence[str],
        given: Mapping[str, Any],
        files: Sequence[Path],
        groups: Sequence[str],
    ) -> None:
        self.root, self.allow, self.given, self.files, self.groups = root, allow, given, files, groups
        self.problems: list[str] = []
        self.unknown: list[str] = []

    def node(self, config: DictConfig, path: str, taken: Signature | None) -> None:
        """Check a mapping whose keys are the arguments of `taken` (None: any keys)."""
        if "_target_" in config:
            target = str(config._get_node("_target_"))
            if not is_allowed(target, self.allow):
                self.problems.append(self._not_allowed(path, target))
                return
            taken = signature(target)
            if taken is None:
                self.problems.append(
                    f"{path}._target_={target}: there is no such class. "
                    "Is its module in this folder or installed?"
                )
                return
        handed = GIVEN.get(taken.target, frozenset()) if taken else frozenset()
        for key in config:
            full = f"{path}.{key}" if path else str(key)
            if str(key) in _HYDRAS and "_target_" in config:
                continue
            argument = None
            if taken is not None:
                argument = taken.arguments.get(str(key))
                if (argument is None and not taken.open) or str(key) in handed:
                    self._unknown_key(full, [name for name in taken.arguments if name not in handed])
                    continue
            self._value(config, str(key), full, argument)
        for name, argument in (taken.arguments if taken else {}).items():
            if argument.required and name not in config and name not in handed:
                full = f"{path}.{name}" if path else name
                self.problems.append(f"{full} has no value. Set it: {full}=... ({_readable(argument.text)}).")

    def _value(self, config: DictConfig, key: str, path: str, argument: Argument | None) -> None:
        if OmegaConf.is_missing(config, key):
            if config._get_node(key)._is_interpolation():  # type: ignore[union-attr]
                return  # reported where the value is missing
            expected = f" ({_readable(argument.text)})" if argument and argument.text != "anything" else ""
            self.problems.append(f"{path} has no value. Set it: {path}=...{expected}.")
            return
        try:
            value = config[key]
        except InterpolationToMissingValueError:
            return  # reported where the value is missing
        except OmegaConfBaseException as error:
            self.problems.append(f"{path}: {str(error).splitlines()[0]}.")
            return
        if isinstance(value, DictConfig):
            if "_target_" not in value and argument is not None and not matches({}, argument.annotation):
                if argument.text != "anything":
                    self.problems.append(self._wrong_type(path, "a mapping", argument))
            is_group = any(group == path.replace(".", "/") for group in self.groups)
            named_parts = argument is None or is_group or "_target_" in value or path == "logger"
            self.node(value, path, None) if named_parts else self._free(value, path)
            return
        if isinstance(value, ListConfig):
            value = OmegaConf.to_container(value)
        if argument is not None and not matches(value, argument.annotation):
            self.problems.append(self._wrong_type(path, value, argument))

    def _free(self, config: DictConfig, path: str) -> None:
        """A mapping with any keys; classes within it must still be allowed."""
        for key in config:
            if str(key) == "_target_":
                self.node(config, path, None)
                return
            if not OmegaConf.is_missing(config, str(key)) and isinstance(config[key], DictConfig):
                self._free(config[key], f"{path}.{key}")

    def _wrong_type(self, path: str, value: Any, argument: Argument) -> str:
        shown = str(value).lower() if isinstance(value, bool) or value is None else value
        shown = "null" if value is None else shown
        options = choices(argument.annotation)
        if options and isinstance(value, str):
            close = get_close_matches(value, options, n=1)
            mend = f" Did you mean {close[0]}?" if close else ""
            return f"{path}={shown}: not one of {', '.join(options)}.{mend}{self._where(path)}"
        kind = "text" if isinstance(value, str) else _kind(value)
        return f"{path}={shown}: must be {_readable(argument.text)}, not {kind}.{self._where(path)}"

    def _unknown_key(self, path: str, siblings: Sequence[str]) -> None:
        parent, _, key = path.rpartition(".")
        close = get_close_matches(key, siblings, n=1, cutoff=0.6)
        candidates = [f"{parent}.{close[0]}" if parent else close[0]] if close else []
        if not candidates:  # the right name in another place, or a name alike anywhere
            others = [other for other in known_paths(self.root) if other != path and "_target_" not in other]
            candidates = [other for other in others if other.rpartition(".")[2] == key]
            if not candidates:
                by_name = {other.rpartition(".")[2]: other for other in others if other not in self.unknown}
                candidates = [by_name[name] for name in get_close_matches(key, list(by_name), n=1, cutoff=0.75)]
        self.unknown.append(path)
        if candidates:
            mend = f" Did you mean {' or '.join(candidates[:3])}?"
        else:
            mend = f" Keys of {parent or 'the config'}: {', '.join(siblings)}."
        self.problems.append(f"{path}: there is no such key.{mend}{self._where(path)}")

    def _not_allowed(self, path: str, target: str) -> str:
        close = get_close_matches(target, ALLOWED, n=1, cutoff=0.85)
        mend = f" Did you mean {close[0]}?" if close else ""
        own = target.rpartition(".")[0] or target
        return (
            f"{path}._target_={target}: a config may not name this class.{mend} "
            f"If it is your own, allow its module on the command line: allow=[{own}].{self._where(path)}"
        )

    def _where(self, path: str) -> str:
        """` (in FILE)` where a key that was not given on the command line stands in one of the user's files."""
        if any(path == key or path.startswith(key + ".") for key in self.given):
            return ""
        pattern = re.compile(rf"^\s*(.*[.{{\s,])?{re.escape(path.rpartition('.')[2])}\s*:", re.MULTILINE)
        found = [file for file in self.files if pattern.search(file.read_text(encoding="utf-8"))]
        return f" (in {found[0]})" if len(found) == 1 else ""


def _readable(annotation: str) -> str:
    names = {"None": "null", "str": "text", "int": "a whole number", "float": "a number", "bool": "true or false"}
    return re.sub(r"\b(None|str|int|float|bool)\b", lambda found: names[found[0]], annotation)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if value is None:
        return "null"
    return {int: "a whole number", float: "a number", list: "a list", dict: "a mapping"}.get(type(value), "that")
