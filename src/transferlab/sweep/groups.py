"""Which jobs of a sweep train together: heads on one frozen backbone, as one batched problem.

Pure functions on resolved configs: a launcher of any kind (processes here, an array of a cluster there) asks
them what belongs into one process. Imports nothing heavy.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from transferlab.training.needs_lightning import needs_no_lightning

# What the jobs of a group may differ in, and `name`, which follows from the options chosen
_MAY_DIFFER = ("name", "seed", "strategy.learning_rates.base", "strategy.learning_rates.weight_decay")
# Heads that are learned by gradients; a test holds this equal to their `solver`
GRADIENT_HEADS = frozenset({"transferlab.strategy.head.linear.Linear", "transferlab.strategy.head.mlp.MLP"})
_CHANGES_NOTHING = {  # arguments of Augmentation with which every training image stays as it is
    "min_crop_area": 1,
    "horizontal_flip": 0,
    "vertical_flip": 0,
    "rotation_degrees": 0,
    "brightness": 0,
    "contrast": 0,
    "saturation": 0,
    "hue": 0,
    "policy": None,
}


def groups_of(configs: Sequence[DictConfig | Mapping[str, Any]]) -> list[list[int]]:
    """The positions of the jobs that train together, each position once, in the order of the first of each.

    Two jobs train together if both train heads alone, on features that are computed once, and their configs
    are equal but for the learning rate, the weight decay, the seed and what follows from these. A job that
    has no partner is a group of its own.

    Args:
        configs: checked and resolved, one a job.
    """
    found: dict[str, list[int]] = {}
    for position, config in enumerate(configs):
        plain: Any = OmegaConf.to_container(config) if isinstance(config, DictConfig) else config
        key = _shared(plain) if trains_heads_on_features(plain) else f"alone {position}"
        found.setdefault(key, []).append(position)
    return list(found.values())


def trains_heads_on_features(config: Mapping[str, Any]) -> bool:
    """Whether a job trains a head, by gradients, on features that no step of the training changes.

    So the backbone is frozen throughout, training images come again unchanged, their features may be kept
    (`features.cache`), and one device does it.
    """
    strategy, data = config["strategy"], config["data"]
    features, head = config.get("features") or {}, strategy.get("head") or {}
    return (
        features.get("cache", "off") != "off"
        and _is_frozen(strategy.get("unfreezing") or {})
        and head.get("_target_") in GRADIENT_HEADS
        and data.get("target") is None
        and strategy.get("bottleneck_units") is None
        and (features.get("views") is not None or _stays_as_it_is(data.get("augmentation") or {}))
        and not any((data.get("mixing") or {}).get(name) for name in ("mixup_alpha", "cutmix_alpha"))
        and not config["fit"].get("compile")
        and needs_no_lightning(config)
    )


def _is_frozen(unfreezing: Mapping[str, Any]) -> bool:
    kind = str(unfreezing.get("_target_")).removeprefix("transferlab.strategy.unfreezing.")
    return kind == "none.NoStage" or (kind == "last.Last" and unfreezing.get("num_stages") == 0)


def _stays_as_it_is(augmentation: Mapping[str, Any]) -> bool:
    ours = augmentation.get("_target_") == "transferlab.data.augmentation.pipeline.Augmentation"
    return ours and all(augmentation.get(name) == value for name, value in _CHANGES_NOTHING.items())


def _shared(config: Mapping[str, Any]) -> str:
    """The part of a config that all jobs of a group have in common, as a text."""
    shared = json.loads(json.dumps(config, default=str))
    without = list(_MAY_DIFFER)
    if config["backbone"].get("weights") == "random" or config["strategy"].get("start_from") == "random":
        without.remove("seed")  # the seed makes the backbone: the features would differ
    if config["data"].get("shots_per_class") is None and config["data"].get("fraction") is None:
        without.append("data.shots_seed")  # chooses nothing
    for path in without:
        *parents, last = path.split(".")
        node = shared
        for parent in parents:
            node = node.get(parent) or {}
        node.pop(last, None)
    return json.dumps(shared, sort_keys=True)
