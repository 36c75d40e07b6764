"""Classes that a config names: those that are allowed, and their facts, read from source without an import.

A config file comes from anywhere, and `_target_` runs what it names. So only the classes that the shipped
configs name are allowed, each by its full path; a user adds modules of his own with `allow=[his_module]` on
the command line, or a package of his declares the entry point group `transferlab.allow`. A config file
cannot widen the list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from transferlab.config.config_files import shipped
from transferlab.config.signature import Signature, origin, signature

# Arguments that the program itself passes to a class, not the config
GIVEN: Mapping[str, frozenset[str]] = {
    "transferlab.backbone.own_network.own_backbone": frozenset({"load_weights"}),
    "transferlab.backbone.timm_network.timm_backbone": frozenset({"load_weights"}),
    "transferlab.training.lightning.loggers.tensorboard": frozenset({"folder", "run_id"}),
    "transferlab.training.lightning.loggers.wandb": frozenset({"folder", "run_id"}),
    "transferlab.training.lightning.trainer_flags.lightning_trainer": frozenset(
        {
            "logger",
            "callbacks",
            "default_root_dir",
            "enable_checkpointing",
            "reload_dataloaders_every_n_epochs",
        }
    ),
}
NAMED_PARTS = ("logger", "strategy.penalty")  # mappings of any names to classes
_TARGET = re.compile(r"""^[^#\n]*\b_target_:\s*["']?([\w.]+)""", re.MULTILINE)


@cache
def shipped_places() -> Mapping[str, frozenset[str]]:
    """The classes that a shipped config names, plugins of Hydra left out, and the groups that name each."""
    root, found = shipped(), dict[str, frozenset[str]]()
    for file in root.rglob("*.yaml"):
        group = file.parent.relative_to(root).as_posix()
        for target in _TARGET.findall(file.read_text("utf-8")) if group.partition("/")[0] != "hydra" else ():
            found[target] = found.get(target, frozenset()) | {group}
    return found


@cache
def shipped_targets() -> frozenset[str]:
    """The classes that a shipped config names, plugins of Hydra left out."""
    return frozenset(shipped_places())


def belongs(target: str, path: str) -> bool:
    """True unless a class of ours stands where the shipped configs would not have it.

    Args:
        target: the class.
        path: dotted path of its node: `data.source`.
    """
    groups = None if path == "backbone.network" else shipped_places().get(target)
    named = next((part for part in NAMED_PARTS if path.startswith(f"{part}.")), path)
    group = "data/catalog" if path in ("data.source", "data.target") else named.replace(".", "/")
    return groups is None or group in groups or ("." in groups and path in ("fit", "features"))


def is_allowed(target: str, allow: Sequence[str] = ()) -> bool:
    """True if a config may name this class, given the modules (or single classes) that the user allowed.

    What an allowed module has imported from elsewhere is not its own: `my_parts.os.system`.
    """
    if target in shipped_targets():
        return True
    from importlib.metadata import entry_points  # only a class that is not ours costs the look

    own = [*allow, *(point.value for point in entry_points(group="transferlab.allow"))]
    defined = origin(target, (str(Path.cwd()),)) or target
    return _is_within(target, own) and _is_within(defined, own)


def _is_within(target: str, modules: Sequence[str]) -> bool:
    return any(target == own or target.startswith(f"{own}.") for own in modules)


def find(target: str) -> Signature | None:
    """Signature of a class that is shipped, in the working folder, or installed."""
    found = signature(target, () if target in shipped_targets() else (str(Path.cwd()),))
    if found is None or target not in GIVEN:
        return found
    arguments = {name: each for name, each in found.arguments.items() if name not in GIVEN[target]}
    return replace(found, arguments=arguments)


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
    """True if an unfreezing never trains a stage of the backbone."""
    when = fact(unfreezing, "opens_nothing_with", None)
    return when is not None and all(_argument(unfreezing, name) == value for name, value in when.items())


def changes_nothing(augmentation: Any) -> bool:
    """True if every training image stays as it is."""
    taken = stated(augmentation)
    return taken.facts.get("identity_by_default", False) and all(
        _argument(augmentation, name) == argument.default for name, argument in taken.arguments.items()
    )


def sees_plain_images(config: Mapping[str, Any]) -> bool:
    """True if training sees each image as it is, by `features.views=auto`: its backbone stays frozen.

    So the backbone runs once on each image, however many epochs the head takes. It runs in each epoch
    anyway where images are mixed, or a part of the strategy needs them.
    """
    strategy, features = config["strategy"], config.get("features") or {}
    mixing = config["data"].get("mixing") or {}
    mixes = any(mixing.get(name) for name in ("mixup_alpha", "cutmix_alpha"))
    parts = (strategy.get("objective"), *(strategy.get("penalty") or {}).values())
    again = mixes or any(fact(part, "needs_images") for part in parts)
    return features.get("views") == "auto" and opens_nothing(strategy.get("unfreezing")) and not again


def _argument(node: Mapping[str, Any], name: str) -> Any:
    """The value of an argument in a config, or its default."""
    return node.get(name, stated(node).arguments[name].default)
