"""The walk through a composed config, node by node, beside the signatures of the classes that it names."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import (
    InterpolationKeyError,
    InterpolationToMissingValueError,
    OmegaConfBaseException,
    UnsupportedInterpolationType,
)

from transferlab.config.annotation import fault, in_words, matches, plain
from transferlab.config.classes import NAMED_PARTS, belongs, find, is_allowed, shipped_targets
from transferlab.config.config_files import explained, near, shipped_options, slots, where_key
from transferlab.config.other_words import meant_by_word
from transferlab.config.resolvers import interpolations
from transferlab.config.rules.trainer_rules import misplaced_flag
from transferlab.config.signature import Argument, Signature

_HYDRAS = ("_target_", "_convert_", "_recursive_")  # keys that `make` understands


def known_paths(config: Any, path: str = "") -> Iterator[str]:
    """The dotted path of every key of a config."""
    if isinstance(config, DictConfig) and not config._is_none() and not config._is_missing():
        for key in map(str, config):
            full = f"{path}.{key}" if path else key
            yield full
            yield from known_paths(config._get_node(key), full)


def _targets(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Path and text of every `_target_`, in lists too."""
    items: Any = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        if key == "_target_":
            yield path, str(value)
        else:
            yield from _targets(value, f"{path}.{key!s}" if path else str(key))


class Walk:
    """Collects the problems of a config, node by node."""

    def __init__(
        self,
        root: DictConfig,
        given: Mapping[str, Any],
        files: Sequence[Path],
        chosen: Mapping[str, str | None],
    ) -> None:
        self.root, self.given, self.files, self.chosen = root, given, files, chosen
        self.slots = {part: part.replace(".", "/") for part in NAMED_PARTS} | slots(chosen)
        self.allow: list[str] = []
        with contextlib.suppress(OmegaConfBaseException, RecursionError):  # reported where it is checked
            allow = root.get("allow") if "allow" in given else None
            listed = allow if isinstance(allow, ListConfig | list | tuple) else [allow] if allow else []
            self.allow = [str(item) for item in listed]
        # path, sentence, the path that the value comes from
        self.found: list[tuple[str, str, str | None]] = []
        self.own: set[str] = set()  # prefixes of paths within nodes of the user's own classes
        self.is_part = False  # whether the root is one class's node in a file of its own
        self.is_whole = True  # whether every value is there and of its type, so that rules can judge it

    def sentences(self, resolved: Any) -> list[str]:
        """All sentences, with those on classes that stand where no class is expected.

        A wrong value that other keys refer to is reported once, where it stands.
        """
        for path, target in _targets(resolved):
            if not is_allowed(target, self.allow):
                self._forbidden(path, target)
        for path, text in interpolations(resolved):
            self._say(
                path, f"={text}: a resolved value holds no ${{...}}. Write the value itself.", whole=True
            )
        wrong = {path for path, _, _ in self.found}
        return [text for _, text, source in self.found if source not in wrong]

    def node(self, config: DictConfig, path: str, taken: Signature | None) -> None:
        """Check a mapping whose keys are the arguments of `taken`, or of the class that it names."""
        if "_target_" in config:
            named: Any = config._get_node("_target_")
            target = str(named)
            if named._is_interpolation():
                self._say(f"{path}._target_", f"={target}: a class is named by its own text, not by a value.")
                return
            if not is_allowed(target, self.allow):
                self._forbidden(path, target)
                return
            taken = find(target)
            if not self.is_part and not belongs(target, path) and not path.startswith(tuple(self.own)):
                self._say(f"{path}._target_", f"={target}: this class does not belong here. Leave it out.")
                return
            if target not in shipped_targets():
                self.own.add(f"{path}.")
            if taken is None:
                self._say(
                    f"{path}._target_",
                    f"={target}: there is no such class. Is its module here, and free of syntax errors?",
                )
                return
        assert taken is not None
        names = list(taken.arguments)
        for key in map(str, config):
            full = f"{path}.{key}" if path else key
            if key in _HYDRAS and "_target_" in config:
                continue
            if key in names or taken.open:
                self._value(config, key, full, taken.arguments.get(key))
            else:
                self._unknown_key(full, names)
        for name, argument in taken.arguments.items():
            if argument.required and config._get_node(name) is None:
                self._no_value(f"{path}.{name}" if path else name, argument)

    def _value(self, config: DictConfig, key: str, path: str, argument: Argument | None) -> None:
        node: Any = config._get_node(key)
        reference = re.fullmatch(r"\$\{([^.:{}][^:{}]*)\}", str(node._value()))
        source = reference[1] if reference and node._is_interpolation() else None
        try:
            if OmegaConf.is_missing(config, key):
                if not node._is_interpolation():  # else reported where the value is missing
                    self._no_value(path, argument)
                return
            value = config[key]
        except InterpolationToMissingValueError:
            return
        except (OmegaConfBaseException, RecursionError) as error:
            self._interpolation(path, node._value(), error, source)
            return
        if isinstance(value, DictConfig):
            self._mapping(value, path, argument)
            return
        if isinstance(value, ListConfig):
            self._classes_in(value, path)
            value = OmegaConf.to_container(value)
        if path in self.slots and not (value is None and argument and "None" in argument.text):
            option = "..." if value is None else plain(value).replace(" ", "")
            self._say(path, f"={plain(value)}: an option is chosen with a slash: {self.slots[path]}={option}")
        else:
            self._plain_value(path, value, argument, source)

    def _mapping(self, value: DictConfig, path: str, argument: Argument | None) -> None:
        if "_target_" in value:
            self.node(value, path, None)
        elif path in NAMED_PARTS:
            for name in map(str, value):
                part = f"{path}.{name}"
                if isinstance(value._get_node(name), DictConfig) and "_target_" in value[name]:
                    self.node(value[name], part, None)
                else:
                    group = path.replace(".", "/")
                    self._say(part, f": nothing of this name is chosen. Choose it first: {group}={name}")
        elif path in self.slots or ("." not in path and argument is not None):
            self._say(path, f": no class is named (_target_). {self._choose(path)}")
        else:
            self._classes_in(value, path)
            self._plain_value(path, OmegaConf.to_container(value), argument, None)

    def _classes_in(self, value: DictConfig | ListConfig, path: str) -> None:
        """Check the nodes of classes at any depth of a free value."""
        keys: Any = value if isinstance(value, DictConfig) else range(len(value))
        for key in keys:
            node: Any = value._get_node(key)
            full = f"{path}.{key}"
            if not OmegaConf.is_config(node) or node._is_none() or node._is_interpolation():
                continue
            if isinstance(node, DictConfig) and "_target_" in node:
                self.node(node, full, None)
            else:
                self._classes_in(node, full)

    def _plain_value(self, path: str, value: Any, argument: Argument | None, source: str | None) -> None:
        if argument is not None and (text := fault(value, argument.annotation)):
            fix = f" Write allow=[{value}]." if path == "allow" else ""
            whole = matches(value, argument.annotation)
            self._say(path, f"={plain(value)}: {text}{fix}", source, whole=whole)

    def _forbidden(self, path: str, target: str) -> None:
        """A class that a config may not name."""
        close = get_close_matches(target, sorted(shipped_targets()), n=1, cutoff=0.85)
        if close:
            mend = f"Did you mean {close[0]}?"
        else:
            own = target.rpartition(".")[0] or target
            mend = f"If it is your own, allow its module on the command line: allow=[{own}]."
        self._say(f"{path}._target_", f"={target}: a config may not name this class. {mend}")

    def _no_value(self, path: str, argument: Argument | None) -> None:
        if path in self.slots or ("." not in path and argument and argument.annotation is dict):
            self._say(path, f" has no value. {self._choose(path)}")
            return
        parent, _, key = path.rpartition(".")
        group = self.slots.get(parent, "")
        about = explained(key, group, self.chosen.get(group))
        if not about and argument is not None and argument.text != "Any":
            about = in_words(argument.annotation).removesuffix(" or null")
        self._say(path, f" has no value. Set it: {path}=..." + (f" ({about})." if about else "."))

    def _choose(self, path: str) -> str:
        group = self.slots.get(path, path.replace(".", "/"))
        options = ", ".join(shipped_options(group))
        return f"Choose an option: {group}=... ({options})." if options else "It is in conf/train.yaml."

    def _interpolation(self, path: str, raw: str, error: BaseException, source: str | None) -> None:
        if isinstance(error, InterpolationKeyError):
            close = get_close_matches(source or "", list(known_paths(self.root)), n=1)
            mend = f" Did you mean ${{{close[0]}}}?" if close else ""
            reason = f"there is no key {source}.{mend}" if source else "there is no such key."
        elif isinstance(error, UnsupportedInterpolationType):
            name = str(error).splitlines()[0].rpartition("Unsupported interpolation type ")[2]
            reason = f"there is no function {name.split()[0] if name else raw}."
        elif isinstance(error, RecursionError) or "Recursive" in str(error):
            reason, source = "it refers to itself.", None
        else:
            text = str(error).splitlines()[0].rpartition("raised while resolving interpolation: ")[2]
            reason = f"{text.rstrip('.')}."
        self._say(path, f"={raw}: {reason}", source)

    def unresolved(self, error: BaseException) -> None:
        """Report an interpolation within a free value that cannot be resolved."""
        node: Any = getattr(error, "parent_node", None)
        parent = node._get_full_key(None) if OmegaConf.is_config(node) else ""
        path = ".".join(str(part) for part in (parent, getattr(error, "key", None)) if part not in ("", None))
        self._interpolation(path or "config", "${...}", error, None)

    def _unknown_key(self, path: str, siblings: Sequence[str]) -> None:
        parent, _, key = path.rpartition(".")
        if path == "experiment":
            file = next((near(file) for file in self.files if file.parent.name == "experiment"), "experiment")
            self._say(file, ": an experiment begins with the line '# @package _global_'; this one does not.")
            return
        word = meant_by_word(key)
        beside = word is not None and word.rpartition(".")[0] == parent != ""
        close = [] if beside else get_close_matches(key, siblings, n=1, cutoff=0.6)
        candidates = [f"{parent}.{close[0]}" if parent else close[0]] if close else []
        if not candidates:  # the right name in another place, or a name alike anywhere
            wrong = {found for found, _, _ in self.found} | {path}
            known = [each for each in known_paths(self.root) if each not in wrong and "_target_" not in each]
            by_name = {each.rpartition(".")[2]: each for each in known}
            candidates = [each for each in known if each.rpartition(".")[2] == key]
            candidates = candidates or ([] if word is None else [word])
            candidates = candidates or [
                by_name[name] for name in get_close_matches(key, list(by_name), n=1, cutoff=0.75)
            ]
        if parent == "trainer" and (flag := misplaced_flag(key)):
            mend = flag
        elif candidates:
            mend = f"Did you mean {' or '.join(candidates[:3])}?"
        elif siblings:
            mend = f"Keys of {parent or 'the config'}: {', '.join(siblings)}."
        else:
            mend = f"{parent} takes none."
        self._say(path, f": there is no such key. {mend}", whole=True)

    def _say(self, path: str, rest: str, source: str | None = None, *, whole: bool = False) -> None:
        self.is_whole &= whole
        typed = any(path == key or path.startswith(f"{key}.") for key in self.given)
        place = "" if typed else where_key(path.rpartition(".")[2], self.files)
        self.found.append((path, f"{path}{rest}{place}", source))
