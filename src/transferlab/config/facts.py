"""What the classes of a config state of themselves, read from their source; nothing is imported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transferlab.config.allowed import shipped_targets
from transferlab.config.signature import Signature, signature


def find(target: str) -> Signature | None:
    """The signature of a class that a config may name: shipped, in the working folder, or installed."""
    return signature(target, () if target in shipped_targets() else (str(Path.cwd()),))


def stated(node: Any) -> Signature:
    """The signature of the class that a node of a config names; an empty one where no class is found."""
    target = str(node.get("_target_")) if isinstance(node, Mapping) else ""
    return find(target) or Signature(target, {})


def fact(node: Any, name: str, otherwise: Any = False) -> Any:
    """A class variable of the class that a node names; `otherwise` where the class has none of this name."""
    return stated(node).facts.get(name, otherwise)


def class_name(node: Any) -> str:
    """The name of the class that a node names, for messages."""
    return stated(node).target.rpartition(".")[2]


def opens_nothing(unfreezing: Any) -> bool:
    """Whether an unfreezing never trains a stage of the backbone."""
    when = fact(unfreezing, "opens_nothing_with", None)
    return when is not None and all(_argument(unfreezing, name) == value for name, value in when.items())


def changes_nothing(augmentation: Any) -> bool:
    """Whether every training image stays as it is."""
    taken = stated(augmentation)
    return taken.facts.get("identity_by_default", False) and all(
        _argument(augmentation, name) == argument.default for name, argument in taken.arguments.items()
    )


def _argument(node: Mapping[str, Any], name: str) -> Any:
    """The value of an argument in a config, or its default."""
    return node.get(name, stated(node).arguments[name].default)
